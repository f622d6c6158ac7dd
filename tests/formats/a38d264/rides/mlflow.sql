BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('dc11669786a5');
CREATE TABLE "assessments" (
	assessment_id VARCHAR(50) NOT NULL, 
	trace_id VARCHAR(50) NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	assessment_type VARCHAR(20) NOT NULL, 
	value TEXT NOT NULL, 
	error TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	source_type VARCHAR(50) NOT NULL, 
	source_id VARCHAR(250), 
	run_id VARCHAR(32), 
	span_id VARCHAR(50), 
	rationale TEXT, 
	overrides VARCHAR(50), 
	valid BOOLEAN NOT NULL, 
	assessment_metadata TEXT, 
	experiment_id INTEGER, 
	trace_timestamp_ms BIGINT, 
	aggregate_value FLOAT, 
	is_numeric_value BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT assessments_pk PRIMARY KEY (assessment_id), 
	CONSTRAINT fk_assessments_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE budget_policies (
	budget_policy_id VARCHAR(36) NOT NULL, 
	budget_unit VARCHAR(32) NOT NULL, 
	budget_amount FLOAT NOT NULL, 
	duration_unit VARCHAR(32) NOT NULL, 
	duration_value INTEGER NOT NULL, 
	target_scope VARCHAR(32) NOT NULL, 
	budget_action VARCHAR(32) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, target_value VARCHAR(255), 
	CONSTRAINT budget_policies_pk PRIMARY KEY (budget_policy_id)
);
CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "datasets" VALUES('0a7a891034804754be67a6f3e60018c6',1,'rides','9e8e668f4fa56529696b35d912cf0121.dir','dvc','{"md5": "9e8e668f4fa56529696b35d912cf0121.dir", "path": "data/raw"}','{"mlflow_colspec": [{"type": "string", "name": "ride_id", "required": false}, {"type": "datetime", "name": "requested_at", "required": false}, {"type": "string", "name": "zone", "required": false}, {"type": "float", "name": "wait", "required": false}, {"type": "float", "name": "distance", "required": false}, {"type": "string", "name": "cancelled", "required": false}]}','{"num_rows": 640, "num_features": 4}');
CREATE TABLE endpoint_bindings (
	endpoint_id VARCHAR(36) NOT NULL, 
	resource_type VARCHAR(50) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	created_at BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), display_name VARCHAR(255), 
	CONSTRAINT endpoint_bindings_pk PRIMARY KEY (endpoint_id, resource_type, resource_id), 
	CONSTRAINT fk_endpoint_bindings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE endpoint_model_mappings (
	mapping_id VARCHAR(36) NOT NULL, 
	endpoint_id VARCHAR(36) NOT NULL, 
	model_definition_id VARCHAR(36) NOT NULL, 
	weight FLOAT NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, linkage_type VARCHAR(64) DEFAULT 'PRIMARY' NOT NULL, fallback_order INTEGER, 
	CONSTRAINT endpoint_model_mappings_pk PRIMARY KEY (mapping_id), 
	CONSTRAINT fk_endpoint_model_mappings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_endpoint_model_mappings_model_definition_id FOREIGN KEY(model_definition_id) REFERENCES model_definitions (model_definition_id)
);
CREATE TABLE endpoint_tags (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	endpoint_id VARCHAR(36) NOT NULL, 
	CONSTRAINT endpoint_tag_pk PRIMARY KEY ("key", endpoint_id), 
	CONSTRAINT fk_endpoint_tags_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE "endpoints" (
	endpoint_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	routing_strategy VARCHAR(64), 
	fallback_config_json TEXT, 
	experiment_id INTEGER, 
	usage_tracking BOOLEAN DEFAULT '0' NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT endpoints_pk PRIMARY KEY (endpoint_id), 
	CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE SET NULL, 
	CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE entity_associations (
	association_id VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, 
	created_time BIGINT, 
	CONSTRAINT entity_associations_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE TABLE "evaluation_dataset_records" (
	dataset_record_id VARCHAR(36) NOT NULL, 
	dataset_id VARCHAR(36) NOT NULL, 
	inputs JSON NOT NULL, 
	expectations JSON, 
	tags JSON, 
	source JSON, 
	source_id VARCHAR(36), 
	source_type VARCHAR(255), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	input_hash VARCHAR(64) NOT NULL, outputs JSON, 
	CONSTRAINT evaluation_dataset_records_pk PRIMARY KEY (dataset_record_id), 
	CONSTRAINT fk_evaluation_dataset_records_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE, 
	CONSTRAINT unique_dataset_input UNIQUE (dataset_id, input_hash)
);
CREATE TABLE evaluation_dataset_tags (
	dataset_id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT evaluation_dataset_tags_pk PRIMARY KEY (dataset_id, "key"), 
	CONSTRAINT fk_evaluation_dataset_tags_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
);
CREATE TABLE "evaluation_datasets" (
	dataset_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	schema TEXT, 
	profile TEXT, 
	digest VARCHAR(64), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT evaluation_datasets_pk PRIMARY KEY (dataset_id)
);
CREATE TABLE "experiment_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','@WORKSPACE@/mlartifacts/0','active',1795897900261,1795897900261,'default');
INSERT INTO "experiments" VALUES(1,'rides','file://@WORKSPACE@/mlartifacts','active',1795897900315,1795897900315,'default');
CREATE TABLE guardrail_configs (
	endpoint_id VARCHAR(36) NOT NULL, 
	guardrail_id VARCHAR(36) NOT NULL, 
	execution_order INTEGER, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrail_configs_pk PRIMARY KEY (endpoint_id, guardrail_id), 
	CONSTRAINT fk_guardrail_configs_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_guardrail_configs_guardrail_id FOREIGN KEY(guardrail_id) REFERENCES guardrails (guardrail_id) ON DELETE CASCADE
);
CREATE TABLE guardrails (
	guardrail_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	stage VARCHAR(32) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	action_endpoint_id VARCHAR(36), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrails_pk PRIMARY KEY (guardrail_id), 
	CONSTRAINT fk_guardrails_scorer_version FOREIGN KEY(scorer_id, scorer_version) REFERENCES scorer_versions (scorer_id, scorer_version), 
	CONSTRAINT fk_guardrails_action_endpoint_id FOREIGN KEY(action_endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE SET NULL
);
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO "input_tags" VALUES('99de368fd1f348beb4a8ff74cc5a9501','mlflow.data.context','training');
INSERT INTO "input_tags" VALUES('d304a69871094076ad8123acdb2d1bc7','mlflow.data.context','training');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('99de368fd1f348beb4a8ff74cc5a9501','DATASET','0a7a891034804754be67a6f3e60018c6','RUN','2bafb92699c742f4995a273c63377ada',0);
INSERT INTO "inputs" VALUES('e21faa849c724472bbdb133762fb595a','RUN_OUTPUT','2bafb92699c742f4995a273c63377ada','MODEL_OUTPUT','m-29c9020aca824916a60bfec173000844',0);
INSERT INTO "inputs" VALUES('d304a69871094076ad8123acdb2d1bc7','DATASET','0a7a891034804754be67a6f3e60018c6','RUN','afcb2c3d090e4419a3f0b993ea619e31',0);
INSERT INTO "inputs" VALUES('0ad9c44fdf5f466f86aa47b4ea27f339','RUN_OUTPUT','afcb2c3d090e4419a3f0b993ea619e31','MODEL_OUTPUT','m-10ee9165a323413da23f03324c5d4a12',0);
CREATE TABLE issues (
	issue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	description TEXT NOT NULL, 
	status VARCHAR(50) NOT NULL, 
	severity VARCHAR(50), 
	root_causes TEXT, 
	source_run_id VARCHAR(32), 
	categories TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	CONSTRAINT issues_pk PRIMARY KEY (issue_id), 
	CONSTRAINT fk_issues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT fk_issues_source_run_id FOREIGN KEY(source_run_id) REFERENCES runs (run_uuid) ON DELETE SET NULL
);
CREATE TABLE job_locks (
	lock_key VARCHAR(255) NOT NULL, 
	job_id VARCHAR(36) NOT NULL, 
	acquired_at BIGINT NOT NULL, 
	CONSTRAINT job_locks_pk PRIMARY KEY (lock_key), 
	CONSTRAINT fk_job_locks_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE "jobs" (
	id VARCHAR(36) NOT NULL, 
	creation_time BIGINT NOT NULL, 
	job_name VARCHAR(500) NOT NULL, 
	params TEXT NOT NULL, 
	timeout FLOAT, 
	status INTEGER NOT NULL, 
	result TEXT, 
	retry_count INTEGER NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, status_details JSON, creator VARCHAR(255), executor_backend VARCHAR(255), lease_expires_at BIGINT, status_message TEXT, progress JSON, progress_updated_at BIGINT, token_hash VARCHAR(64), scoped_permissions JSON, next_attempt_at BIGINT, 
	CONSTRAINT jobs_pk PRIMARY KEY (id)
);
CREATE TABLE label_schemas (
	schema_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	instruction TEXT, 
	enable_comment BOOLEAN DEFAULT '0' NOT NULL, 
	input_type VARCHAR(32) NOT NULL, 
	input_config TEXT NOT NULL, 
	created_by VARCHAR(255), 
	created_time BIGINT NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	is_default BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT label_schemas_pk PRIMARY KEY (schema_id), 
	CONSTRAINT fk_label_schemas_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_label_schemas_exp_name UNIQUE (experiment_id, name)
);
CREATE TABLE "latest_metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT, 
	step BIGINT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "latest_metrics" VALUES('value',6.84952978056426298181e-01,1795897900345,0,0,'35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "latest_metrics" VALUES('train/iterations',1.0,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/accuracy',0.5546875,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/average_precision',7.27505658953722322834e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/brier',2.45767370308339117013e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/f1',7.13567839195979880528e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/log_loss',6.8463362441004615988e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test/roc_auc',7.36224363726216912695e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/accuracy',0.5546875,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/average_precision',0.5546875,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/brier',2.47033932823109203535e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/f1',7.13567839195979880528e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/log_loss',0.687203735693393,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('baseline/roc_auc',0.5,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/accuracy',5.68627450980392135093e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/average_precision',6.96281271129141399178e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/brier',2.44392102684067247242e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/f1',0.725,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/log_loss',6.81875483384846714507e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('validation/roc_auc',6.84952978056426298181e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/accuracy',0.559652928416486,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/average_precision',7.6767482151030008719e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/brier',2.44982004731709557265e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/f1',0.717663421418637,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/log_loss',6.83051546917318508356e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('train/roc_auc',7.72644823767518196255e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_accuracy',0.5546875,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_average_precision',7.27505658953722322834e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_brier',2.45767370308339117013e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_f1',7.13567839195979880528e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_log_loss',6.8463362441004615988e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('test_roc_auc',7.36224363726216912695e-01,1795897900345,0,0,'2bafb92699c742f4995a273c63377ada');
INSERT INTO "latest_metrics" VALUES('curve',8.71473354231974917105e-01,1795897906315,10,0,'8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "latest_metrics" VALUES('value',8.71473354231974917105e-01,1795897906315,0,0,'8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "latest_metrics" VALUES('train/iterations',10.0,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/accuracy',0.796875,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/average_precision',9.17971389345482169375e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/brier',1.397872843510155616e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/f1',8.05970149253731338312e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/log_loss',0.43565070327403,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test/roc_auc',8.87200395354583615237e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/accuracy',0.5546875,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/average_precision',0.5546875,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/brier',2.47033932823109203535e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/f1',7.13567839195979880528e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/log_loss',0.687203735693393,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('baseline/roc_auc',0.5,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/accuracy',7.45098039215686291925e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/average_precision',9.06166223090665301498e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/brier',1.56381154892324542027e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/f1',7.71929824561403465921e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/log_loss',4.58137302372332633204e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('validation/roc_auc',8.71473354231974917105e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/accuracy',8.54663774403470744012e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/average_precision',9.53816116672380864827e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/brier',9.82042405737214157968e-02,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/f1',8.66799204771371734068e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/log_loss',3.20067332146292904404e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('train/roc_auc',0.941421315920113,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_accuracy',0.796875,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_average_precision',9.17971389345482169375e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_brier',1.397872843510155616e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_f1',8.05970149253731338312e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_log_loss',0.43565070327403,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "latest_metrics" VALUES('test_roc_auc',8.87200395354583615237e-01,1795897906315,0,0,'afcb2c3d090e4419a3f0b993ea619e31');
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(36) NOT NULL, 
	metric_name VARCHAR(500) NOT NULL, 
	metric_timestamp_ms BIGINT NOT NULL, 
	metric_step BIGINT NOT NULL, 
	metric_value FLOAT, 
	experiment_id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_uuid VARCHAR(36), 
	dataset_name VARCHAR(500), 
	dataset_digest VARCHAR(36), 
	CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id), 
	CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE, 
	CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE
);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_accuracy',1795897900345,0,0.5546875,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_average_precision',1795897900345,0,7.27505658953722322834e-01,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_brier',1795897900345,0,2.45767370308339117013e-01,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_f1',1795897900345,0,7.13567839195979880528e-01,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_log_loss',1795897900345,0,6.8463362441004615988e-01,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-29c9020aca824916a60bfec173000844','test_roc_auc',1795897900345,0,7.36224363726216912695e-01,1,'2bafb92699c742f4995a273c63377ada',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_accuracy',1795897906315,0,0.796875,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_average_precision',1795897906315,0,9.17971389345482169375e-01,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_brier',1795897906315,0,1.397872843510155616e-01,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_f1',1795897906315,0,8.05970149253731338312e-01,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_log_loss',1795897906315,0,0.43565070327403,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
INSERT INTO "logged_model_metrics" VALUES('m-10ee9165a323413da23f03324c5d4a12','test_roc_auc',1795897906315,0,8.87200395354583615237e-01,1,'afcb2c3d090e4419a3f0b993ea619e31',NULL,NULL,NULL);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.seed','42');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.name','rides');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.source','data/raw');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.format','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.csv.delimiter','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.csv.quote','"');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.csv.encoding','utf-8');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.csv.header','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.csv.null_values','["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.target','cancelled');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.task','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.positive','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.time','requested_at');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.key','ride_id');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.types','{}');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.derive','{}');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.drop','[]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.dataset.look_rows','50000');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.ingestion.suite','expectations/suite.json');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.ingestion.max_invalid_fraction','0.1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.ingestion.max_target_missing','0.5');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.ingestion.batch_rows','65536');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.strategy','hash');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.by','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.shards','4');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.shard_mb','128');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.block_rows','64');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.holdout.by','time');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.holdout.test','0.2');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.holdout.test_end','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.sharding.holdout.validation','0.1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.impute','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.indicator','false');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.encode','ordinal');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.min_frequency','0.001');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.max_categories','100');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.scale','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.min_variance','0.0');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.max_correlation','0.98');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.project','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.reduction.components','0.95');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.sampler','tpe');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.trials','1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.timeout_seconds','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.workers','1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.max_rows','200000');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.space.num_leaves.low','4');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.tuning.space.num_leaves.high','8');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.learner','lightgbm');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.strategy','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.memory_budget_mb','2048');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.class_weight','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.params.num_iterations','1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.params.learning_rate','0.01');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.training.params.num_leaves','2');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.evaluation.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.evaluation.max_gap','0.1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.registration.model','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.registration.experiment','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.registration.min_improvement','0.0');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.by','time');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.seconds','3600');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.rows','5000');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.lateness_seconds','300');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.min_rows','50');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.segments','[]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.window.max_segments','20');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.drift.false_alarm_rate','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.drift.min_effect','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.drift.thresholds','{}');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.max_invalid_fraction','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.null_increase','0.1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.new_categories','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.out_of_range','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.max_duplicates','0.05');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.scale_jump','5.0');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.volume_ratio','10.0');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.quality.freshness_seconds','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.harm.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.harm.max_loss','0.03');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.harm.min_labels','200');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.harm.estimate','true');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.harm.change_detection','true');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.alerts.channels','[]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.alerts.rules','[{"name": "broken-feed", "on": ["broken feed"], "windows": 1, "severity": "critical", "channels": []}, {"name": "harm", "on": ["confirmed harm"], "windows": 1, "severity": "critical", "channels": []}, {"name": "suspected-harm", "on": ["suspected harm"], "windows": 2, "severity": "warning", "channels": []}]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.alerts.silences','[]');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.enabled','true');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.on','confirmed harm');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.windows','1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.of','2');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.min_labels','100');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.cooldown_seconds','86400');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.monthly_budget','8');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.approval','true');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.proof_fraction','0.3');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.max_regression','0.02');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retraining.max_attempts','3');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.retention_days','90');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'params.monitoring.archive','none');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'train.learning_rate','0.01');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'train.num_iterations','1');
INSERT INTO "logged_model_params" VALUES('m-29c9020aca824916a60bfec173000844',1,'train.num_leaves','2');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.seed','42');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.name','rides');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.source','data/raw');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.format','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.csv.delimiter','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.csv.quote','"');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.csv.encoding','utf-8');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.csv.header','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.csv.null_values','["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.target','cancelled');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.task','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.positive','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.time','requested_at');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.key','ride_id');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.types','{}');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.derive','{}');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.drop','[]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.dataset.look_rows','50000');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.ingestion.suite','expectations/suite.json');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.ingestion.max_invalid_fraction','0.1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.ingestion.max_target_missing','0.5');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.ingestion.batch_rows','65536');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.strategy','hash');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.by','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.shards','4');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.shard_mb','128');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.block_rows','64');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.holdout.by','time');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.holdout.test','0.2');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.holdout.test_end','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.sharding.holdout.validation','0.1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.impute','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.indicator','false');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.encode','ordinal');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.min_frequency','0.001');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.max_categories','100');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.scale','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.min_variance','0.0');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.max_correlation','0.98');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.project','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.reduction.components','0.95');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.sampler','tpe');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.trials','1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.timeout_seconds','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.workers','1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.max_rows','200000');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.space.num_leaves.low','4');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.tuning.space.num_leaves.high','8');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.learner','lightgbm');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.strategy','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.memory_budget_mb','2048');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.class_weight','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.params.num_iterations','12');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.training.params.learning_rate','0.3');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.evaluation.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.evaluation.max_gap','0.1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.registration.model','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.registration.experiment','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.registration.min_improvement','0.0');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.by','time');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.seconds','3600');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.rows','5000');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.lateness_seconds','300');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.min_rows','50');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.segments','[]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.window.max_segments','20');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.drift.false_alarm_rate','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.drift.min_effect','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.drift.thresholds','{}');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.max_invalid_fraction','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.null_increase','0.1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.new_categories','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.out_of_range','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.max_duplicates','0.05');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.scale_jump','5.0');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.volume_ratio','10.0');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.quality.freshness_seconds','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.harm.metric','auto');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.harm.max_loss','0.03');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.harm.min_labels','200');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.harm.estimate','true');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.harm.change_detection','true');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.alerts.channels','[]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.alerts.rules','[{"name": "broken-feed", "on": ["broken feed"], "windows": 1, "severity": "critical", "channels": []}, {"name": "harm", "on": ["confirmed harm"], "windows": 1, "severity": "critical", "channels": []}, {"name": "suspected-harm", "on": ["suspected harm"], "windows": 2, "severity": "warning", "channels": []}]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.alerts.silences','[]');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.enabled','true');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.on','confirmed harm');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.windows','1');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.of','2');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.min_labels','100');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.cooldown_seconds','86400');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.monthly_budget','8');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.approval','true');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.proof_fraction','0.3');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.max_regression','0.02');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retraining.max_attempts','3');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.retention_days','90');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'params.monitoring.archive','none');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'train.learning_rate','0.3');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'train.num_iterations','12');
INSERT INTO "logged_model_params" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'train.num_leaves','6');
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_tags" VALUES('m-29c9020aca824916a60bfec173000844',1,'tidemill.digest','aae0ffc8edd42f4b80e525429252ee1c9250d214d0de037a9af0141137424e5e');
INSERT INTO "logged_model_tags" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'tidemill.digest','d069b7379ffbfd6e4e4126340ad838c209e74dd99aa06ec00246bdae4b360890');
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "logged_models" VALUES('m-29c9020aca824916a60bfec173000844',1,'rides','file://@WORKSPACE@/mlartifacts/models/m-29c9020aca824916a60bfec173000844/artifacts',1795897905404,1795897905449,2,'active','tidemill','2bafb92699c742f4995a273c63377ada',NULL);
INSERT INTO "logged_models" VALUES('m-10ee9165a323413da23f03324c5d4a12',1,'rides','file://@WORKSPACE@/mlartifacts/models/m-10ee9165a323413da23f03324c5d4a12/artifacts',1795897908864,1795897908905,2,'active','tidemill','afcb2c3d090e4419a3f0b993ea619e31',NULL);
CREATE TABLE mcp_access_endpoints (
	id VARCHAR(36) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	server_name VARCHAR(256) NOT NULL, 
	server_version VARCHAR(128), 
	server_alias VARCHAR(256), 
	url VARCHAR(2048) NOT NULL, 
	transport_type VARCHAR(32) DEFAULT 'streamable-http' NOT NULL, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_access_endpoints_pk PRIMARY KEY (id), 
	CONSTRAINT mcp_access_endpoints_server_fkey FOREIGN KEY(workspace, server_name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_aliases (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	alias VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	CONSTRAINT mcp_server_aliases_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT mcp_server_aliases_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_tags (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT mcp_server_tags_pk PRIMARY KEY (workspace, name, "key"), 
	CONSTRAINT mcp_server_tags_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_version_tags (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT mcp_server_version_tags_pk PRIMARY KEY (workspace, name, version, "key"), 
	CONSTRAINT mcp_server_version_tags_version_fkey FOREIGN KEY(workspace, name, version) REFERENCES mcp_server_versions (workspace, name, version) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_server_versions (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	version_major INTEGER NOT NULL, 
	version_minor INTEGER NOT NULL, 
	version_patch INTEGER NOT NULL, 
	version_prerelease_sort_key VARCHAR(512) NOT NULL, 
	server_json JSON NOT NULL, 
	status VARCHAR(20) DEFAULT 'draft' NOT NULL, 
	tools JSON, 
	source VARCHAR(512), 
	connect_options JSON, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_server_versions_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT mcp_server_versions_server_fkey FOREIGN KEY(workspace, name) REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE mcp_servers (
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	display_name VARCHAR(256), 
	description TEXT, 
	icons JSON, 
	created_by VARCHAR(256), 
	last_updated_by VARCHAR(256), 
	created_at BIGINT NOT NULL, 
	last_updated_at BIGINT NOT NULL, 
	CONSTRAINT mcp_servers_pk PRIMARY KEY (workspace, name)
);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('value',6.84952978056426298181e-01,1795897900345,'35d6efc467ee4ab3bb41bd503f515eb8',0,0);
INSERT INTO "metrics" VALUES('train/iterations',1.0,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/accuracy',0.5546875,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/average_precision',7.27505658953722322834e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/brier',2.45767370308339117013e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/f1',7.13567839195979880528e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/log_loss',6.8463362441004615988e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test/roc_auc',7.36224363726216912695e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/accuracy',0.5546875,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/average_precision',0.5546875,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/brier',2.47033932823109203535e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/f1',7.13567839195979880528e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/log_loss',0.687203735693393,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('baseline/roc_auc',0.5,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/accuracy',5.68627450980392135093e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/average_precision',6.96281271129141399178e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/brier',2.44392102684067247242e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/f1',0.725,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/log_loss',6.81875483384846714507e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('validation/roc_auc',6.84952978056426298181e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/accuracy',0.559652928416486,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/average_precision',7.6767482151030008719e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/brier',2.44982004731709557265e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/f1',0.717663421418637,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/log_loss',6.83051546917318508356e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('train/roc_auc',7.72644823767518196255e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_accuracy',0.5546875,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_average_precision',7.27505658953722322834e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_brier',2.45767370308339117013e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_f1',7.13567839195979880528e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_log_loss',6.8463362441004615988e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('test_roc_auc',7.36224363726216912695e-01,1795897900345,'2bafb92699c742f4995a273c63377ada',0,0);
INSERT INTO "metrics" VALUES('curve',8.71473354231974917105e-01,1795897906315,'8865f984fc86404bbc8be982a9f72b4c',10,0);
INSERT INTO "metrics" VALUES('value',8.71473354231974917105e-01,1795897906315,'8865f984fc86404bbc8be982a9f72b4c',0,0);
INSERT INTO "metrics" VALUES('train/iterations',10.0,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/accuracy',0.796875,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/average_precision',9.17971389345482169375e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/brier',1.397872843510155616e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/f1',8.05970149253731338312e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/log_loss',0.43565070327403,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test/roc_auc',8.87200395354583615237e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/accuracy',0.5546875,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/average_precision',0.5546875,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/brier',2.47033932823109203535e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/f1',7.13567839195979880528e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/log_loss',0.687203735693393,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('baseline/roc_auc',0.5,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/accuracy',7.45098039215686291925e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/average_precision',9.06166223090665301498e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/brier',1.56381154892324542027e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/f1',7.71929824561403465921e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/log_loss',4.58137302372332633204e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('validation/roc_auc',8.71473354231974917105e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/accuracy',8.54663774403470744012e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/average_precision',9.53816116672380864827e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/brier',9.82042405737214157968e-02,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/f1',8.66799204771371734068e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/log_loss',3.20067332146292904404e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('train/roc_auc',0.941421315920113,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_accuracy',0.796875,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_average_precision',9.17971389345482169375e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_brier',1.397872843510155616e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_f1',8.05970149253731338312e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_log_loss',0.43565070327403,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
INSERT INTO "metrics" VALUES('test_roc_auc',8.87200395354583615237e-01,1795897906315,'afcb2c3d090e4419a3f0b993ea619e31',0,0);
CREATE TABLE "model_definitions" (
	model_definition_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	secret_id VARCHAR(36), 
	provider VARCHAR(64) NOT NULL, 
	model_name VARCHAR(256) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_definitions_pk PRIMARY KEY (model_definition_id), 
	CONSTRAINT fk_model_definitions_secret_id FOREIGN KEY(secret_id) REFERENCES secrets (secret_id) ON DELETE SET NULL, 
	CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE "model_version_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version), 
	CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY(workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE
);
INSERT INTO "model_version_tags" VALUES('tidemill.dataset_version','9e8e668f4fa56529696b35d912cf0121.dir','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.code_revision','','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.digest','aae0ffc8edd42f4b80e525429252ee1c9250d214d0de037a9af0141137424e5e','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.metrics','{"test_accuracy": 0.5546875, "test_average_precision": 0.7275056589537223, "test_brier": 0.24576737030833912, "test_f1": 0.7135678391959799, "test_log_loss": 0.6846336244100462, "test_roc_auc": 0.7362243637262169}','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.reference','{"reference.json": "b53233ad753ff1d1217ddfff3565b42f3416a7364a0115b0cb1d9b6b36dd1f5f"}','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.model_id','m-29c9020aca824916a60bfec173000844','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.promotion','{"replaces": null, "roc_auc": 0.7362243637262169}','rides',1,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.dataset_version','9e8e668f4fa56529696b35d912cf0121.dir','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.code_revision','','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.digest','d069b7379ffbfd6e4e4126340ad838c209e74dd99aa06ec00246bdae4b360890','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.metrics','{"test_accuracy": 0.796875, "test_average_precision": 0.9179713893454822, "test_brier": 0.13978728435101556, "test_f1": 0.8059701492537313, "test_log_loss": 0.43565070327403, "test_roc_auc": 0.8872003953545836}','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.reference','{"reference.json": "e86c178216bb61ef24a02f2ffeda97b00c9c0d9953a375c89ff0bee59e7cda77"}','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.model_id','m-10ee9165a323413da23f03324c5d4a12','rides',2,'default');
INSERT INTO "model_version_tags" VALUES('tidemill.promotion','{"champion_roc_auc": 0.7362243637262169, "replaces": 1, "roc_auc": 0.8872003953545836}','rides',2,'default');
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO "model_versions" VALUES('rides',1,1795897905468,1795897905468,NULL,NULL,'None','file://@WORKSPACE@/mlartifacts/models/m-29c9020aca824916a60bfec173000844/artifacts','2bafb92699c742f4995a273c63377ada','READY',NULL,NULL,'file://@WORKSPACE@/mlartifacts/models/m-29c9020aca824916a60bfec173000844/artifacts','default');
INSERT INTO "model_versions" VALUES('rides',2,1795897908923,1795897908923,NULL,NULL,'None','file://@WORKSPACE@/mlartifacts/models/m-10ee9165a323413da23f03324c5d4a12/artifacts','afcb2c3d090e4419a3f0b993ea619e31','READY',NULL,NULL,'file://@WORKSPACE@/mlartifacts/models/m-10ee9165a323413da23f03324c5d4a12/artifacts','default');
CREATE TABLE online_scoring_configs (
	online_scoring_config_id VARCHAR(36) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	sample_rate FLOAT NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	filter_string TEXT, 
	CONSTRAINT online_scoring_config_pk PRIMARY KEY (online_scoring_config_id), 
	CONSTRAINT fk_online_scoring_configs_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE, 
	CONSTRAINT fk_online_scoring_configs_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('num_leaves','6','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "params" VALUES('params.seed','42','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.name','rides','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.source','data/raw','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.format','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.csv.delimiter','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.csv.quote','"','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.csv.encoding','utf-8','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.csv.header','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.csv.null_values','["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.target','cancelled','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.task','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.positive','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.time','requested_at','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.key','ride_id','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.types','{}','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.derive','{}','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.drop','[]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.dataset.look_rows','50000','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.ingestion.suite','expectations/suite.json','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.ingestion.max_invalid_fraction','0.1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.ingestion.max_target_missing','0.5','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.ingestion.batch_rows','65536','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.strategy','hash','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.by','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.shards','4','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.shard_mb','128','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.block_rows','64','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.holdout.by','time','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.holdout.test','0.2','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.holdout.test_end','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.sharding.holdout.validation','0.1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.impute','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.indicator','false','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.encode','ordinal','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.min_frequency','0.001','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.max_categories','100','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.scale','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.min_variance','0.0','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.max_correlation','0.98','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.project','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.reduction.components','0.95','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.sampler','tpe','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.trials','1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.timeout_seconds','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.workers','1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.metric','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.max_rows','200000','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.space.num_leaves.low','4','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.tuning.space.num_leaves.high','8','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.learner','lightgbm','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.strategy','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.memory_budget_mb','2048','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.class_weight','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.params.num_iterations','1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.params.learning_rate','0.01','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.training.params.num_leaves','2','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.evaluation.metric','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.evaluation.max_gap','0.1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.registration.model','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.registration.experiment','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.registration.min_improvement','0.0','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.by','time','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.seconds','3600','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.rows','5000','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.lateness_seconds','300','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.min_rows','50','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.segments','[]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.window.max_segments','20','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.drift.false_alarm_rate','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.drift.min_effect','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.drift.thresholds','{}','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.max_invalid_fraction','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.null_increase','0.1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.new_categories','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.out_of_range','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.max_duplicates','0.05','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.scale_jump','5.0','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.volume_ratio','10.0','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.quality.freshness_seconds','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.harm.metric','auto','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.harm.max_loss','0.03','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.harm.min_labels','200','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.harm.estimate','true','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.harm.change_detection','true','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.alerts.channels','[]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.alerts.rules','[{"name": "broken-feed", "on": ["broken feed"], "windows": 1, "severity": "critical", "channels": []}, {"name": "harm", "on": ["confirmed harm"], "windows": 1, "severity": "critical", "channels": []}, {"name": "suspected-harm", "on": ["suspected harm"], "windows": 2, "severity": "warning", "channels": []}]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.alerts.silences','[]','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.enabled','true','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.on','confirmed harm','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.windows','1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.of','2','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.min_labels','100','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.cooldown_seconds','86400','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.monthly_budget','8','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.approval','true','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.proof_fraction','0.3','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.max_regression','0.02','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retraining.max_attempts','3','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.retention_days','90','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('params.monitoring.archive','none','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('train.learning_rate','0.01','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('train.num_iterations','1','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('train.num_leaves','2','2bafb92699c742f4995a273c63377ada');
INSERT INTO "params" VALUES('num_leaves','6','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "params" VALUES('params.seed','42','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.name','rides','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.source','data/raw','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.format','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.csv.delimiter','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.csv.quote','"','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.csv.encoding','utf-8','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.csv.header','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.csv.null_values','["", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.target','cancelled','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.task','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.positive','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.time','requested_at','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.key','ride_id','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.types','{}','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.derive','{}','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.drop','[]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.dataset.look_rows','50000','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.ingestion.suite','expectations/suite.json','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.ingestion.max_invalid_fraction','0.1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.ingestion.max_target_missing','0.5','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.ingestion.batch_rows','65536','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.strategy','hash','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.by','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.shards','4','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.shard_mb','128','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.block_rows','64','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.holdout.by','time','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.holdout.test','0.2','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.holdout.test_end','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.sharding.holdout.validation','0.1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.impute','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.indicator','false','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.encode','ordinal','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.min_frequency','0.001','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.max_categories','100','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.scale','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.min_variance','0.0','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.max_correlation','0.98','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.project','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.reduction.components','0.95','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.sampler','tpe','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.trials','1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.timeout_seconds','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.workers','1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.metric','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.max_rows','200000','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.space.num_leaves.low','4','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.tuning.space.num_leaves.high','8','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.learner','lightgbm','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.strategy','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.memory_budget_mb','2048','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.class_weight','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.params.num_iterations','12','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.training.params.learning_rate','0.3','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.evaluation.metric','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.evaluation.max_gap','0.1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.registration.model','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.registration.experiment','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.registration.min_improvement','0.0','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.by','time','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.seconds','3600','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.rows','5000','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.lateness_seconds','300','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.min_rows','50','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.segments','[]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.window.max_segments','20','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.drift.false_alarm_rate','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.drift.min_effect','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.drift.thresholds','{}','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.max_invalid_fraction','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.null_increase','0.1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.new_categories','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.out_of_range','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.max_duplicates','0.05','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.scale_jump','5.0','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.volume_ratio','10.0','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.quality.freshness_seconds','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.harm.metric','auto','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.harm.max_loss','0.03','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.harm.min_labels','200','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.harm.estimate','true','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.harm.change_detection','true','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.alerts.channels','[]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.alerts.rules','[{"name": "broken-feed", "on": ["broken feed"], "windows": 1, "severity": "critical", "channels": []}, {"name": "harm", "on": ["confirmed harm"], "windows": 1, "severity": "critical", "channels": []}, {"name": "suspected-harm", "on": ["suspected harm"], "windows": 2, "severity": "warning", "channels": []}]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.alerts.silences','[]','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.enabled','true','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.on','confirmed harm','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.windows','1','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.of','2','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.min_labels','100','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.cooldown_seconds','86400','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.monthly_budget','8','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.approval','true','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.proof_fraction','0.3','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.max_regression','0.02','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retraining.max_attempts','3','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.retention_days','90','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('params.monitoring.archive','none','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('train.learning_rate','0.3','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('train.num_iterations','12','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "params" VALUES('train.num_leaves','6','afcb2c3d090e4419a3f0b993ea619e31');
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "registered_model_aliases" VALUES('champion',2,'rides','default');
CREATE TABLE "registered_model_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name), 
	CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
INSERT INTO "registered_models" VALUES('rides',1795897905460,1795897908923,NULL,'default');
CREATE TABLE review_queue_items (
	queue_id VARCHAR(36) NOT NULL, 
	item_type VARCHAR(16) NOT NULL, 
	item_id VARCHAR(50) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	completed_by VARCHAR(250), 
	completed_time_ms BIGINT, 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	CONSTRAINT review_queue_items_pk PRIMARY KEY (queue_id, item_id), 
	CONSTRAINT fk_review_queue_items_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_label_schemas (
	queue_id VARCHAR(36) NOT NULL, 
	schema_id VARCHAR(36) NOT NULL, 
	CONSTRAINT review_queue_label_schemas_pk PRIMARY KEY (queue_id, schema_id), 
	CONSTRAINT fk_review_queue_label_schemas_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_users (
	queue_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queue_users_pk PRIMARY KEY (queue_id, user_id), 
	CONSTRAINT fk_review_queue_users_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queues (
	queue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	queue_type VARCHAR(16) NOT NULL, 
	created_by VARCHAR(255), 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	name_key VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queues_pk PRIMARY KEY (queue_id), 
	CONSTRAINT fk_review_queues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_review_queues_experiment_name_key UNIQUE (experiment_id, name_key)
);
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('2bafb92699c742f4995a273c63377ada','train deb43fd3','UNKNOWN','','','unknown','FINISHED',1795897900345,1795897905615,'','active','file://@WORKSPACE@/mlartifacts/2bafb92699c742f4995a273c63377ada/artifacts',1,NULL);
INSERT INTO "runs" VALUES('35d6efc467ee4ab3bb41bd503f515eb8','trial 0','UNKNOWN','','','unknown','FINISHED',1795897901012,1795897901047,'','active','file://@WORKSPACE@/mlartifacts/35d6efc467ee4ab3bb41bd503f515eb8/artifacts',1,NULL);
INSERT INTO "runs" VALUES('afcb2c3d090e4419a3f0b993ea619e31','train f6338c56','UNKNOWN','','','unknown','FINISHED',1795897906315,1795897909049,'','active','file://@WORKSPACE@/mlartifacts/afcb2c3d090e4419a3f0b993ea619e31/artifacts',1,NULL);
INSERT INTO "runs" VALUES('8865f984fc86404bbc8be982a9f72b4c','trial 0','UNKNOWN','','','unknown','FINISHED',1795897906380,1795897906405,'','active','file://@WORKSPACE@/mlartifacts/8865f984fc86404bbc8be982a9f72b4c/artifacts',1,NULL);
CREATE TABLE scheduler_leases (
	lease_key VARCHAR(255) NOT NULL, 
	acquired_at BIGINT NOT NULL, 
	ttl_seconds INTEGER NOT NULL, 
	CONSTRAINT scheduler_leases_pk PRIMARY KEY (lease_key)
);
CREATE TABLE scorer_versions (
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	serialized_scorer TEXT NOT NULL, 
	creation_time BIGINT, 
	CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, scorer_version), 
	CONSTRAINT fk_scorer_versions_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE
);
CREATE TABLE scorers (
	experiment_id INTEGER NOT NULL, 
	scorer_name VARCHAR(256) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	CONSTRAINT scorer_pk PRIMARY KEY (scorer_id), 
	CONSTRAINT fk_scorers_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE "secrets" (
	secret_id VARCHAR(36) NOT NULL, 
	secret_name VARCHAR(255) NOT NULL, 
	encrypted_value BLOB NOT NULL, 
	wrapped_dek BLOB NOT NULL, 
	kek_version INTEGER NOT NULL, 
	masked_value VARCHAR(500) NOT NULL, 
	provider VARCHAR(64), 
	auth_config TEXT, 
	description TEXT, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT secrets_pk PRIMARY KEY (secret_id), 
	CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name)
);
CREATE TABLE span_metrics (
	trace_id VARCHAR(50) NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT span_metrics_pk PRIMARY KEY (trace_id, span_id, "key"), 
	CONSTRAINT fk_span_metrics_span FOREIGN KEY(trace_id, span_id) REFERENCES spans (trace_id, span_id) ON DELETE CASCADE
);
CREATE TABLE "spans" (
	trace_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	parent_span_id VARCHAR(50), 
	name TEXT, 
	type VARCHAR(500), 
	status VARCHAR(50) NOT NULL, 
	start_time_unix_nano BIGINT NOT NULL, 
	end_time_unix_nano BIGINT, 
	duration_ns BIGINT GENERATED ALWAYS AS (end_time_unix_nano - start_time_unix_nano) STORED, 
	content TEXT NOT NULL, 
	input_cost FLOAT, 
	output_cost FLOAT, 
	total_cost FLOAT, 
	model_name VARCHAR(500), 
	model_provider VARCHAR(500), 
	CONSTRAINT spans_pk PRIMARY KEY (trace_id, span_id), 
	CONSTRAINT fk_spans_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_spans_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE sql_assessment_daily_rollups (
	id INTEGER NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	rollup_day DATE NOT NULL, 
	metric_name VARCHAR(250) NOT NULL, 
	grouping_set VARCHAR(50) NOT NULL, 
	sample_count BIGINT NOT NULL, 
	sum_value FLOAT, 
	min_value FLOAT, 
	max_value FLOAT, 
	CONSTRAINT sql_assessment_daily_rollups_pk PRIMARY KEY (id)
);
CREATE TABLE sql_span_cost_daily_rollups (
	id INTEGER NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	rollup_day DATE NOT NULL, 
	metric_name VARCHAR(250) NOT NULL, 
	grouping_set VARCHAR(50) NOT NULL, 
	model_name VARCHAR(500), 
	model_provider VARCHAR(500), 
	sample_count BIGINT NOT NULL, 
	sum_value FLOAT, 
	min_value FLOAT, 
	max_value FLOAT, 
	CONSTRAINT sql_span_cost_daily_rollups_pk PRIMARY KEY (id)
);
CREATE TABLE sql_trace_metric_daily_rollups (
	id INTEGER NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	rollup_day DATE NOT NULL, 
	metric_name VARCHAR(250) NOT NULL, 
	grouping_set VARCHAR(50) NOT NULL, 
	trace_status VARCHAR(50), 
	sample_count BIGINT NOT NULL, 
	sum_value FLOAT, 
	min_value FLOAT, 
	max_value FLOAT, 
	p50_value FLOAT, 
	p90_value FLOAT, 
	p99_value FLOAT, 
	CONSTRAINT sql_trace_metric_daily_rollups_pk PRIMARY KEY (id)
);
CREATE TABLE sql_trace_rollup_rebuild_queue (
	experiment_id INTEGER NOT NULL, 
	rollup_day DATE NOT NULL, 
	rollup_family VARCHAR(50) NOT NULL, 
	CONSTRAINT sql_trace_rollup_rebuild_queue_pk PRIMARY KEY (experiment_id, rollup_day, rollup_family)
);
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('tidemill.run_key','deb43fd3647d31a0c922ee14956ce3611018b899541f9d44f55011478017e8ae','2bafb92699c742f4995a273c63377ada');
INSERT INTO "tags" VALUES('mlflow.source.name','tidemill','2bafb92699c742f4995a273c63377ada');
INSERT INTO "tags" VALUES('mlflow.runName','train deb43fd3','2bafb92699c742f4995a273c63377ada');
INSERT INTO "tags" VALUES('tidemill.trial_key','deb43fd3647d31a0c922ee14956ce3611018b899541f9d44f55011478017e8ae/0','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "tags" VALUES('tidemill.trial_state','complete','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "tags" VALUES('mlflow.parentRunId','2bafb92699c742f4995a273c63377ada','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "tags" VALUES('mlflow.source.name','tidemill','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "tags" VALUES('mlflow.runName','trial 0','35d6efc467ee4ab3bb41bd503f515eb8');
INSERT INTO "tags" VALUES('tidemill.model','rides','2bafb92699c742f4995a273c63377ada');
INSERT INTO "tags" VALUES('tidemill.dataset_version','9e8e668f4fa56529696b35d912cf0121.dir','2bafb92699c742f4995a273c63377ada');
INSERT INTO "tags" VALUES('tidemill.run_key','f6338c568832275afec7f7eb61b263a119f6fb9a9048de391d26307e61f47c5f','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "tags" VALUES('mlflow.source.name','tidemill','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "tags" VALUES('mlflow.runName','train f6338c56','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "tags" VALUES('tidemill.trial_key','f6338c568832275afec7f7eb61b263a119f6fb9a9048de391d26307e61f47c5f/0','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "tags" VALUES('tidemill.trial_state','complete','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "tags" VALUES('mlflow.parentRunId','afcb2c3d090e4419a3f0b993ea619e31','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "tags" VALUES('mlflow.source.name','tidemill','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "tags" VALUES('mlflow.runName','trial 0','8865f984fc86404bbc8be982a9f72b4c');
INSERT INTO "tags" VALUES('tidemill.model','rides','afcb2c3d090e4419a3f0b993ea619e31');
INSERT INTO "tags" VALUES('tidemill.dataset_version','9e8e668f4fa56529696b35d912cf0121.dir','afcb2c3d090e4419a3f0b993ea619e31');
CREATE TABLE "trace_info" (
	request_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	execution_time_ms BIGINT, 
	status VARCHAR(50) NOT NULL, 
	client_request_id VARCHAR(50), 
	request_preview VARCHAR(1000), 
	response_preview VARCHAR(1000), 
	db_payload_generation INTEGER DEFAULT '0' NOT NULL, trace_name VARCHAR(4096), session_id VARCHAR(250), input_tokens BIGINT, output_tokens BIGINT, total_tokens BIGINT, cache_read_input_tokens BIGINT, cache_creation_input_tokens BIGINT, cache_creation_input_tokens_above_1hr BIGINT, input_cost FLOAT, output_cost FLOAT, total_cost FLOAT, 
	CONSTRAINT trace_info_pk PRIMARY KEY (request_id), 
	CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE trace_metrics (
	request_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT trace_metrics_pk PRIMARY KEY (request_id, "key"), 
	CONSTRAINT fk_trace_metrics_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "trace_request_metadata" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_request_metadata_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "trace_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_tag_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_tags_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE webhook_events (
	webhook_id VARCHAR(256) NOT NULL, 
	entity VARCHAR(50) NOT NULL, 
	action VARCHAR(50) NOT NULL, 
	CONSTRAINT webhook_event_pk PRIMARY KEY (webhook_id, entity, action), 
	FOREIGN KEY(webhook_id) REFERENCES webhooks (webhook_id) ON DELETE cascade
);
CREATE TABLE "webhooks" (
	webhook_id VARCHAR(256) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	description VARCHAR(1000), 
	url VARCHAR(500) NOT NULL, 
	status VARCHAR(20) DEFAULT 'ACTIVE' NOT NULL, 
	secret VARCHAR(1000), 
	creation_timestamp BIGINT, 
	last_updated_timestamp BIGINT, 
	deleted_timestamp BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT webhook_pk PRIMARY KEY (webhook_id)
);
CREATE TABLE workspaces (
	name VARCHAR(63) NOT NULL, 
	description TEXT, 
	default_artifact_root TEXT, trace_archival_location TEXT, trace_archival_retention VARCHAR(32), 
	CONSTRAINT workspaces_pk PRIMARY KEY (name)
);
INSERT INTO "workspaces" VALUES('default','Default workspace for legacy resources',NULL,NULL,NULL);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX index_inputs_destination_type_destination_id_source_type ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_trace_tags_request_id ON trace_tags (request_id);
CREATE INDEX index_trace_request_metadata_request_id ON trace_request_metadata (request_id);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX index_datasets_experiment_id_dataset_source_type ON datasets (experiment_id, dataset_source_type);
CREATE INDEX index_logged_model_metrics_model_id ON logged_model_metrics (model_id);
CREATE INDEX index_entity_associations_association_id ON entity_associations (association_id);
CREATE INDEX index_entity_associations_reverse_lookup ON entity_associations (destination_type, destination_id, source_type, source_id);
CREATE INDEX idx_webhook_events_entity ON webhook_events (entity);
CREATE INDEX idx_webhook_events_action ON webhook_events (action);
CREATE INDEX idx_webhook_events_entity_action ON webhook_events (entity, action);
CREATE UNIQUE INDEX index_scorers_experiment_id_scorer_name ON scorers (experiment_id, scorer_name);
CREATE INDEX index_scorer_versions_scorer_id ON scorer_versions (scorer_id);
CREATE INDEX index_evaluation_dataset_tags_dataset_id ON evaluation_dataset_tags (dataset_id);
CREATE INDEX index_evaluation_dataset_records_dataset_id ON evaluation_dataset_records (dataset_id);
CREATE INDEX index_endpoint_model_mappings_endpoint_id ON endpoint_model_mappings (endpoint_id);
CREATE INDEX index_endpoint_model_mappings_model_definition_id ON endpoint_model_mappings (model_definition_id);
CREATE INDEX index_endpoint_tags_endpoint_id ON endpoint_tags (endpoint_id);
CREATE INDEX index_trace_metrics_request_id ON trace_metrics (request_id);
CREATE UNIQUE INDEX unique_endpoint_model_linkage_mapping ON endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type);
CREATE INDEX index_span_metrics_trace_id_span_id ON span_metrics (trace_id, span_id);
CREATE INDEX index_evaluation_datasets_created_time ON evaluation_datasets (created_time);
CREATE INDEX index_evaluation_datasets_name ON evaluation_datasets (name);
CREATE INDEX idx_webhooks_name ON webhooks (name);
CREATE INDEX idx_webhooks_status ON webhooks (status);
CREATE TRIGGER prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW
WHEN OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name
BEGIN
    SELECT RAISE(ABORT, 'secret_id and secret_name are immutable (used as AAD in encryption)');
END;
CREATE INDEX index_model_definitions_secret_id ON model_definitions (secret_id);
CREATE INDEX index_model_definitions_provider ON model_definitions (provider);
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, workspace, status, creation_time);
CREATE INDEX idx_experiments_workspace ON experiments (workspace);
CREATE INDEX idx_registered_models_workspace ON registered_models (workspace);
CREATE INDEX idx_experiments_workspace_creation_time ON experiments (workspace, creation_time);
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX idx_webhooks_workspace ON webhooks (workspace);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
CREATE INDEX idx_budget_policies_workspace ON budget_policies (workspace);
CREATE INDEX index_issues_experiment_id ON issues (experiment_id);
CREATE INDEX index_issues_source_run_id ON issues (source_run_id);
CREATE INDEX index_issues_status ON issues (status);
CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, "key", step);
CREATE INDEX idx_guardrails_workspace ON guardrails (workspace);
CREATE INDEX idx_guardrails_scorer ON guardrails (scorer_id, scorer_version);
CREATE INDEX idx_guardrail_configs_endpoint_id ON guardrail_configs (endpoint_id);
CREATE INDEX idx_guardrail_configs_guardrail_id ON guardrail_configs (guardrail_id);
CREATE INDEX idx_model_version_tags_workspace_name_version ON model_version_tags (workspace, name, version);
CREATE INDEX idx_registered_model_tags_workspace_name ON registered_model_tags (workspace, name);
CREATE INDEX index_label_schemas_experiment_id ON label_schemas (experiment_id);
CREATE INDEX index_review_queues_experiment_id ON review_queues (experiment_id);
CREATE INDEX index_review_queue_users_user_id ON review_queue_users (user_id);
CREATE INDEX index_review_queue_items_queue_id_status ON review_queue_items (queue_id, status);
CREATE INDEX index_review_queue_items_item_id ON review_queue_items (item_id);
CREATE INDEX index_review_queue_label_schemas_schema_id ON review_queue_label_schemas (schema_id);
CREATE INDEX idx_mcp_server_versions_latest ON mcp_server_versions (workspace, name, status, version_major DESC, version_minor DESC, version_patch DESC);
CREATE INDEX ix_mcp_access_endpoints_server_name ON mcp_access_endpoints (workspace, server_name);
CREATE INDEX ix_mcp_access_endpoints_version ON mcp_access_endpoints (workspace, server_name, server_version);
CREATE INDEX ix_mcp_access_endpoints_alias ON mcp_access_endpoints (workspace, server_name, server_alias);
CREATE INDEX idx_budget_policies_target_value ON budget_policies (target_value);
CREATE INDEX index_trace_info_experiment_id_timestamp_ms ON trace_info (experiment_id, timestamp_ms);
CREATE INDEX index_trace_info_timestamp_ms_request_id ON trace_info (timestamp_ms, request_id);
CREATE INDEX index_assessments_run_id_created_timestamp ON assessments (run_id, created_timestamp);
CREATE INDEX index_assessments_assessment_type ON assessments (assessment_type);
CREATE INDEX index_assessments_trace_id_created_timestamp ON assessments (trace_id, created_timestamp);
CREATE INDEX index_assessments_last_updated_timestamp ON assessments (last_updated_timestamp);
CREATE INDEX index_spans_experiment_id_start_time ON spans (experiment_id, start_time_unix_nano);
CREATE INDEX index_spans_experiment_id_status_type ON spans (experiment_id, status, type);
CREATE INDEX index_spans_experiment_id_type_status ON spans (experiment_id, type, status);
CREATE INDEX index_spans_experiment_id_duration ON spans (experiment_id, duration_ns);
CREATE INDEX index_trace_info_experiment_id_session_id ON trace_info (experiment_id, session_id);
CREATE INDEX idx_trace_rollups_lookup ON sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, trace_status);
CREATE INDEX idx_span_cost_rollups_lookup ON sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, model_name, model_provider);
CREATE INDEX idx_assessment_rollups_lookup ON sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set);
CREATE INDEX idx_spans_cost_trace_time_cover ON spans (trace_id, start_time_unix_nano);
CREATE INDEX idx_spans_cost_exp_time_cover ON spans (experiment_id, start_time_unix_nano);
CREATE INDEX idx_assessments_exp_trace_ts ON assessments (experiment_id, trace_timestamp_ms);
CREATE INDEX idx_assessments_exp_trace_ts_name ON assessments (experiment_id, trace_timestamp_ms, name);
CREATE INDEX idx_assessments_exp_name_valid ON assessments (experiment_id, name, valid);
CREATE INDEX index_job_locks_job_id ON job_locks (job_id);
CREATE INDEX index_jobs_status_lease_expires_at ON jobs (status, lease_expires_at);
COMMIT;
