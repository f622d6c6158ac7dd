"""params.yaml as one frozen tree, checked once, at the edge.

Every stage receives the sections it needs and nothing else. Unknown keys are refused with the
nearest known one; every problem in the file is reported at once.
"""

from tidemill.config.dataset_section import CsvFormat, DatasetConfig, SampleConfig
from tidemill.config.document import (
    changed_settings,
    load_params,
    params_schema,
    params_text,
    read_params,
    set_params,
    storage_url,
)
from tidemill.config.monitoring import (
    AlertRule,
    AlertsConfig,
    Channel,
    DriftConfig,
    HarmConfig,
    MonitoringConfig,
    QualityConfig,
    RetrainingConfig,
    WindowConfig,
)
from tidemill.config.own_stages import OwnStageConfig
from tidemill.config.params import Params
from tidemill.config.reduction_section import ReductionConfig
from tidemill.config.sections import (
    EvaluationConfig,
    HoldoutConfig,
    IngestionConfig,
    RegistrationConfig,
    ShardingConfig,
    StorageConfig,
    ThresholdConfig,
    TrainingConfig,
    TuningConfig,
)

__all__ = [
    "AlertRule",
    "AlertsConfig",
    "Channel",
    "CsvFormat",
    "DatasetConfig",
    "DriftConfig",
    "EvaluationConfig",
    "HarmConfig",
    "HoldoutConfig",
    "IngestionConfig",
    "MonitoringConfig",
    "OwnStageConfig",
    "Params",
    "QualityConfig",
    "ReductionConfig",
    "RegistrationConfig",
    "RetrainingConfig",
    "SampleConfig",
    "ShardingConfig",
    "StorageConfig",
    "ThresholdConfig",
    "TrainingConfig",
    "TuningConfig",
    "WindowConfig",
    "changed_settings",
    "load_params",
    "params_schema",
    "params_text",
    "read_params",
    "set_params",
    "storage_url",
]
