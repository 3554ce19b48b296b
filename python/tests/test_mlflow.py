# SPDX-License-Identifier: MIT
"""What arrives in MLflow, in an SQLite store as its server would have it; skipped where mlflow is not installed."""

import json
import os
import subprocess
import sys

from _common import DATA, Case, command, main, need, np, rows

need("mlflow", "onnx", "onnxruntime")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow  # noqa: E402

import hone  # noqa: E402
import hone.mlflow  # noqa: E402

SOURCE = DATA / "train" / "bn_f32.onnx"


class MLflow(Case):
    def setUp(self):
        super().setUp()
        self.uri = f"sqlite:///{self.folder}/store.db"
        mlflow.set_tracking_uri(self.uri)
        experiment = mlflow.create_experiment("e", artifact_location=(self.folder / "artifacts").as_uri())
        mlflow.set_experiment(experiment_id=experiment)
        self.client = mlflow.MlflowClient()
        X, y = rows()
        self.table = self.folder / "t.csv"
        self.table.write_text(
            "a,b,c,d,e,f,y\n" + "".join(",".join(map(str, [*x, c])) + "\n" for x, c in zip(X, y, strict=True))
        )

    def curve(self, run, name):
        return [(m.step, m.value) for m in sorted(self.client.get_metric_history(run, name), key=lambda m: m.step)]

    def test_training_here(self):
        X, y = rows()
        model = hone.Model.load(SOURCE)
        with mlflow.start_run() as live:
            result = model.train(X, y, epochs=6, val_split=0.2, test_split=0.2, lr=0.003, progress=hone.mlflow.log_progress)
            hone.mlflow.log_result(result, curves=False)
            info = hone.mlflow.log_model(model)
        with mlflow.start_run() as after:
            hone.mlflow.log_result(result)
        want = [(e["epoch"], e["val_loss"]) for e in result["curve"]]
        for run in (live, after):
            self.assertEqual(self.curve(run.info.run_id, "val_loss"), want)
            self.assertEqual([s for s, _ in self.curve(run.info.run_id, "train_loss")], [1, 2, 3, 4, 5, 6])
            data = self.client.get_run(run.info.run_id).data
            self.assertEqual((data.params["lr"], data.params["optimizer"]), ("0.003", "adam"))
            self.assertNotIn("clip_norm", data.params)  # not set
            self.assertEqual(data.metrics["test.loss"], result["test"]["loss"])
            self.assertEqual(data.metrics["before.val.accuracy"], result["before"]["val"]["accuracy"])
            self.assertEqual(data.tags["hone.stop_reason"], "max_epochs")
        loaded = mlflow.pyfunc.load_model(info.model_uri)
        (given,) = loaded.predict(X[:7]).values()
        np.testing.assert_allclose(given, model.predict(X[:7]), rtol=1e-4, atol=1e-5)
        self.assertEqual(loaded.metadata.get_input_schema().inputs[0].shape, (-1, 6))

    def test_searching_here(self):
        X, y = rows()
        with mlflow.start_run() as run:
            search = {"search": {"lr": (1e-3, 1e-1, "log")}, "trials": 3, "folds": 2, "epochs": 2}
            result = hone.Model.load(SOURCE).tune(X, y, **search, progress=hone.mlflow.log_progress)
            hone.mlflow.log_result(result, curves=False)
        self.below(run.info.run_id, result)

    def below(self, parent, result):
        """The runs of the trials."""
        found = self.client.search_runs(
            [self.client.get_run(parent).info.experiment_id], f"tags.mlflow.parentRunId = '{parent}'"
        )
        values = {r.info.run_name: (float(r.data.params["lr"]), r.data.metrics["value"]) for r in found if r.data.params}
        want = {f"trial {t['number']}": (t["params"]["lr"], t["value"]) for t in result["trials"]}
        self.assertEqual(values.keys(), want.keys())
        for name, pair in want.items():
            np.testing.assert_allclose(values[name], pair)
        self.assertEqual(self.client.get_run(parent).data.metrics["best_value"], result["best_value"])
        return found

    def test_folders(self):
        data = ["--data", self.table, "--target", "y", "--val-split", "0.25", "--epochs", "3"]
        train, tune = self.folder / "b.onnx", self.folder / "t.onnx"
        command("train", SOURCE, *data, "--keep-run", "-o", train)
        command("tune", SOURCE, *data, "--trials", "3", "--search", "lr=log:1e-3..1e-1", "-o", tune)
        line = [sys.executable, "-m", "hone.mlflow", "--tracking-uri", self.uri, "--experiment", "e"]
        r = subprocess.run([*line, f"{train}.run", f"{tune}.run"], capture_output=True, text=True, timeout=600)
        self.assertEqual(r.returncode, 0, r.stderr)
        one, two = r.stdout.split()[-2:]
        result = json.loads((self.folder / "b.onnx.run" / "result.json").read_text())
        self.assertEqual(self.curve(one, "val_accuracy"), [(e["epoch"], e["val_accuracy"]) for e in result["curve"]])
        run = self.client.get_run(one)
        self.assertEqual((run.data.params["val_split"], run.data.params["data"]), ("0.25", str(self.table)))
        self.assertEqual(run.info.status, "FINISHED")
        files = {f.path for f in self.client.list_artifacts(one)}
        self.assertEqual(files, {"events.jsonl", "metrics.csv", "metrics.json", "result.json", "run.json", "status.json"})
        (written,) = self.client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{one}'")
        self.assertEqual(written.name, "model")
        search = json.loads((self.folder / "t.onnx.run" / "study.json").read_text())
        trials = self.below(two, search)
        self.assertTrue(all(len(self.curve(t.info.run_id, "val_loss")) == 3 for t in trials))
        figures = json.loads((self.folder / "b.onnx.run" / "metrics.json").read_text())
        flat = dict(hone.mlflow._figures(figures))
        self.assertEqual(flat, {k: run.data.metrics[k] for k in flat})  # as metrics.json has them

    def test_refused(self):
        with self.assertRaisesRegex(hone.UsageError, "result.json"):
            hone.mlflow.log_run(self.folder)
        with self.assertRaisesRegex(hone.UsageError, "train or tune"):
            hone.mlflow.log_result({"schema": "hone.evaluate/1"})
        self.assertIsNone(mlflow.active_run())


if __name__ == "__main__":
    main()
