# SPDX-License-Identifier: MIT
"""Studies from Python: ask and tell, what others see of them, Optuna; and plug-ins."""

import copy
import pickle
import shutil
import subprocess
import threading

from _common import ROOT, Case, main, np, program

import hone

SPACE = {"lr": (1e-4, 1e-1, "log"), "units": (8, 64), "kind": ["a", "b, c"]}


def objective(p):
    return (np.log10(p["lr"]) + 2.5) ** 2 + abs(p["units"] - 20) / 50 + (p["kind"] == "a")


class Studies(Case):
    def test_ask_and_tell(self):
        path = self.folder / "s.db"
        with hone.Study(path, SPACE, sampler="tpe", seed=3) as study:
            self.assertIsNone(study.best)
            for n in range(12):
                asked = study.ask()
                self.assertEqual((asked.number, asked.state, asked.value), (n, "running", None))
                self.assertTrue(1e-4 <= asked.params["lr"] <= 1e-1 and isinstance(asked.params["units"], int))
                self.assertEqual(study.tell(asked, None if n == 4 else objective(asked.params)), "failed" if n == 4 else "done")
            with self.assertRaises(hone.UsageError):
                study.tell(3, 0.5)
            last = study.ask()
            trials = study.trials
            self.assertEqual([t.state for t in trials], ["done"] * 4 + ["failed"] + ["done"] * 7 + ["running"])
            self.assertEqual(trials[-1].params, last.params)
            self.assertEqual(trials[3].value, objective(trials[3].params))
            self.assertEqual(study.best, min((t for t in trials if t.state == "done"), key=lambda t: t.value))
            self.assertEqual(study.describe()["direction"], "minimize")
        with self.assertRaisesRegex(ValueError, "closed"):
            study.ask()
        with hone.Study(path) as again:  # it brings its space
            self.assertEqual(again.trials, trials)
            self.assertEqual(set(again.describe()["space"]), set(SPACE))
        with self.assertRaises(hone.UsageError):
            hone.Study(path, {"other": (0.0, 1.0)})
        with self.assertRaisesRegex(hone.UsageError, "no use"):
            hone.Study(self.folder / "t.db", SPACE, epochs=3)

    def test_it_ends(self):
        study = hone.Study(self.folder / "s.db", {"kind": ["a", "b"]}, sampler="grid", direction="maximize")
        for value in (1.0, 2.0):
            study.tell(study.ask(), value)
        self.assertIsNone(study.ask())
        self.assertEqual(study.best.value, 2.0)

    def test_several_at_once(self):
        path = self.folder / "s.db"
        hone.Study(path, SPACE, sampler="random").close()

        def work():
            with hone.Study(path) as study:
                for _ in range(5):
                    asked = study.ask()
                    study.tell(asked, objective(asked.params))

        crew = [threading.Thread(target=work) for _ in range(3)]
        for t in crew:
            t.start()
        for t in crew:
            t.join()
        r = program("with hone.Study(sys.argv[1]) as s: a = s.ask(); s.tell(a, 1.5)", path)
        self.assertEqual(r.returncode, 0, r.stderr)
        trials = hone.Study(path).trials
        self.assertEqual([(t.number, t.state) for t in trials], [(n, "done") for n in range(16)])

    def test_optuna(self):
        try:
            import optuna
        except ImportError:
            self.skipTest("optuna is not installed")
        with hone.Study(self.folder / "s.db", SPACE, sampler="sobol") as study:
            for _ in range(4):
                asked = study.ask()
                study.tell(asked, objective(asked.params))
            best = study.best
            said = study.export(self.folder / "o.db", name="mine")
        self.assertEqual((said["study_name"], said["trials"]), ("mine", 4))
        there = optuna.load_study(study_name="mine", storage=f"sqlite:///{self.folder}/o.db")
        self.assertEqual(there.best_trial.number, best.number)
        self.assertEqual(there.best_params, best.params)
        with self.assertRaises(hone.Error):
            hone.export_study(self.folder / "s.db", self.folder / "o.db")
        hone.export_study(self.folder / "s.db", self.folder / "o.db", force=True)


class Plugins(Case):
    def test_an_operator_of_its_own(self):
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("there is no C compiler")
        plugin = self.folder / "snake.so"
        source = ROOT / "examples" / "plugins" / "snake.c"
        line = [compiler, "-O1", "-shared", "-fPIC", f"-I{ROOT}/plugin", f"-I{ROOT}/ops/base", "-o", plugin, source, "-lm"]
        subprocess.run(line, check=True)
        X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        try:
            from onnx import TensorProto, helper
        except ImportError:
            self.skipTest("onnx is not installed")
        domain = "hone.example"
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Snake", ["h"], ["y"], domain=domain)]
        w = helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [0.1, 0.2, 0.3])
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", d]) for n, d in (("x", 3), ("y", 1)))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
        proto = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [w]), opset_imports=opsets, ir_version=8)
        with self.assertRaises(hone.UnsupportedError):
            hone.Model.load(proto).check(False)
        model = hone.Model.load(proto, plugins=[plugin])
        self.assertEqual([p["path"] for p in model.plugins], [str(plugin)])
        model.train(X, X.sum(axis=1), epochs=2)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.predict(X), model.predict(X))
        with self.assertRaises(hone.Error):
            hone.Model.load(proto, plugins=[self.folder / "nowhere.so"])


if __name__ == "__main__":
    main()
