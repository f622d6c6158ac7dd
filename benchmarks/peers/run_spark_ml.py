"""Spark ML on two cores of this machine: ``run_spark_ml.py FOLDER``."""

from __future__ import annotations

import json
import sys

from benchmarks.rides import NUMBERS, TIME
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import PCA, Imputer, StandardScaler, VectorAssembler
from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(folder: str) -> None:
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "6g")
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    # The schema is read off the first file: Spark would go through all of them.
    first = session.read.csv(f"{folder}/*.csv", header=True, inferSchema=True, samplingRatio=0.01)
    frame = session.read.csv(f"{folder}/*.csv", header=True, schema=first.schema)
    time = f.to_timestamp(TIME)
    numbers = [f.expr(f"try_cast(`{name}` as double)").alias(name) for name in NUMBERS]
    calendar = [
        f.hour(time).cast("double").alias("hour"),
        f.dayofweek(time).cast("double").alias("day"),
    ]
    label = f.expr("cast(try_cast(cancelled as boolean) as double)").alias("label")
    rows = frame.select(*numbers, *calendar, label, f.unix_timestamp(time).alias("at"))
    rows = rows.where("label is not null and at is not null")
    cut = rows.approxQuantile("at", [0.8], 0.001)[0]
    columns = [*NUMBERS, "hour", "day"]
    steps = [
        Imputer(inputCols=columns, outputCols=columns),
        VectorAssembler(inputCols=columns, outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="scaled", withMean=True),
        PCA(k=20, inputCol="scaled", outputCol="features"),
        LogisticRegression(maxIter=100),
    ]
    model = Pipeline(stages=steps).fit(rows.where(rows["at"] < cut))
    scored = model.transform(rows.where(rows["at"] >= cut))
    print(json.dumps({"roc_auc": BinaryClassificationEvaluator().evaluate(scored)}))
    session.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
