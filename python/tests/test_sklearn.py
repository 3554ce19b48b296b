# SPDX-License-Identifier: MIT
"""scikit-learn's manners: its own checks of estimators, and the places where estimators are put."""

import os
import pickle
import re
import warnings

from _common import DATA, ROOT, Case, main, need, np, program, rows, session

need("sklearn", "onnx", "onnxruntime")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import hone  # noqa: E402
from hone.sklearn import HoneClassifier, HoneRegressor  # noqa: E402

SOURCE = DATA / "train" / "bn_f32.onnx"
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "with rows of weight 0 and without them sums have "
    "another order: equal to about 1e-6 in float32, where 1e-7 is wanted",
}
SKIPPED = {"check_array_api_input"}  # wants SCIPY_ARRAY_API in the environment


class Checks(Case):
    def checked(self, estimator):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None)
        said = {s: [r for r in results if r["status"] == s] for s in ("passed", "xfail", "failed", "skipped")}
        print(type(estimator).__name__, {s: len(r) for s, r in said.items()})
        self.assertEqual([(r["check_name"], r["exception"]) for r in said["failed"]], [])
        self.assertLessEqual({r["check_name"] for r in said["xfail"]}, set(EXPECTED))
        self.assertLessEqual({r["check_name"] for r in said["skipped"]}, SKIPPED)
        self.assertGreater(len(said["passed"]), 45)

    def test_classifier(self):
        self.checked(HoneClassifier("hidden 32 relu", epochs=60, lr=0.01))

    def test_regressor(self):
        self.checked(HoneRegressor("hidden 32 relu", epochs=60, lr=0.01))


class Classifier(Case):
    def test_labels_come_back_as_they_were(self):
        X, k = rows()
        for words in ("00 01 02", "0.0 1.0 2.0", "0 1 2", "10 9 8", "+1 0 -1", "1 2 a"):
            names = words.split()
            for kind in (str, object):
                y = np.array(names, kind)[k]
                est = HoneClassifier("hidden 8 relu", epochs=12, lr=0.03).fit(X, y)
                self.assertEqual(est.classes_.tolist(), np.unique(y).tolist())
                self.assertEqual(set(est.predict(X)) | set(names), set(names))
                self.assertGreater(est.score(X, y), 0.8)
        with self.assertRaisesRegex(hone.DataError, "'1' in row 1 and '01' in row 2"):
            HoneClassifier("hidden 8 relu").fit(X[:6], np.array(["1", "01", "2"] * 2))

    def test_a_model_with_numbers_takes_text(self):
        X, k = rows()
        model = hone.Model.new("6-8-3 relu softmax")
        model.train(X, k + 1, epochs=12, lr=0.03)
        y = np.array(["1.0", "2.0", "3.0"])[k]
        est = HoneClassifier(model, epochs=1).fit(X, y)
        self.assertEqual(est.classes_.tolist(), ["1.0", "2.0", "3.0"])
        self.assertGreater(est.score(X, y), 0.8)

    def test_auc_is_scikit_learns(self):
        from sklearn.metrics import roc_auc_score

        X, k = rows()
        for tail in ("softmax", ""):  # probabilities, and what a Softmax would make them of
            model = hone.Model.new(f"6-8-3 relu {tail}")
            model.train(X, k, epochs=2)
            p = model.predict(X).astype(float)
            if not tail:
                raw = np.mean([roc_auc_score(k == j, p[:, j]) for j in range(3)])
                p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
            wanted = roc_auc_score(k, p / p.sum(axis=1, keepdims=True), multi_class="ovr", average="macro")
            self.assertAlmostEqual(model.evaluate(X, k, metric="auc")["auc"], wanted, places=4)
        self.assertGreater(abs(raw - wanted), 1e-3)
        flags = np.stack([X[:, 0] > 0, X[:, 1] > 1], axis=1).astype(np.float32)
        model = hone.Model.new("6-8-2 relu sigmoid")
        model.train(X, flags, epochs=2)
        wanted = roc_auc_score(flags, model.predict(X), average="macro")
        self.assertAlmostEqual(model.evaluate(X, flags, metric="auc")["auc"], wanted, places=4)

    def test_weights_of_labels_that_are_text(self):
        X, k = rows()
        for names in (["10", "9", "8"], ["b", "a", "c"]):
            y = np.array(names)[k]
            heavy = HoneClassifier("hidden 8 relu", epochs=12, lr=0.03, class_weights={names[1]: 1e4}).fit(X, y)
            self.assertGreater((heavy.predict(X) == names[1]).mean(), 0.9)

    def test_a_file_is_trained_as_by_model(self):
        X, y = rows()
        before = SOURCE.read_bytes()
        est = HoneClassifier(SOURCE, epochs=4, lr=0.003, val_split=0.2, random_state=3).fit(X, y)
        model = hone.Model.load(SOURCE)
        model.train(X, y, epochs=4, lr=0.003, val_split=0.2, seed=3)
        self.assertEqual(est.model_.to_bytes(), model.to_bytes())
        self.assertEqual(SOURCE.read_bytes(), before)
        scores = session(model).run(None, {model.inputs[0].name: X})[0].astype(float)
        wanted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) if est.output_.tail is None else scores
        np.testing.assert_allclose(est.predict_proba(X), wanted, rtol=1e-3, atol=1e-5)
        self.assertEqual(est.n_features_in_, 6)
        est.model_.save(self.folder / "better.onnx")
        self.assertEqual((self.folder / "better.onnx").read_bytes(), model.to_bytes())
        for source in (before, hone.Model.load(SOURCE)):
            again = clone(est).set_params(model=source).fit(X, y)
            self.assertEqual(again.model_.to_bytes(), model.to_bytes())

    def test_labels_of_all_kinds(self):
        X, y = rows()
        for names in (["c", "a", "b"], [10, -3, 2], [0.5, -0.25, 100.0], ["10", "9", "1"], [2, 1, 0]):
            labels = np.array(names)[y]
            if labels.dtype.kind == "f":  # classification wants whole numbers
                labels = np.array([5.0, -1.0, 100.0])[y]
            est = HoneClassifier("hidden 16", epochs=40, lr=0.01).fit(X, labels)
            np.testing.assert_array_equal(est.classes_, np.unique(labels))
            self.assertGreater(est.score(X, labels), 0.8, names)
            p = est.predict_proba(X)
            np.testing.assert_allclose(p.sum(axis=1), 1)
            np.testing.assert_array_equal(est.classes_[p.argmax(axis=1)], est.predict(X))
        two = HoneClassifier("hidden 16", epochs=40, lr=0.01).fit(X, y > 0)
        self.assertEqual(list(two.classes_), [False, True])
        self.assertGreater(two.score(X, y > 0), 0.8)

    def test_a_list_of_the_models_own_and_tails(self):
        from onnx import load

        names = hone.Model.load(DATA / "sklearn" / "names.onnx")
        own = next(v for v in names.outputs if v.learns).classes
        X = np.random.default_rng(0).normal(size=(90, names.inputs[0].shape[1])).astype(np.float32)
        y = np.array(own[:2])[(X[:, 0] > 0).astype(int)]  # not all of its classes
        est = HoneClassifier(load(DATA / "sklearn" / "names.onnx"), epochs=3).fit(X, y)
        self.assertEqual(list(est.classes_), sorted(own))
        self.assertEqual(est.predict_proba(X).shape, (90, len(own)))
        for kind in (int, float, bool):  # positions in that list; False and True are the first two
            numbers = (X[:, 0] > 0).astype(kind)
            by = HoneClassifier(load(DATA / "sklearn" / "names.onnx"), epochs=3).fit(X, numbers)
            self.assertEqual(list(by.classes_), list(range(len(own))))
            np.testing.assert_allclose(by.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
            label = by.model_.predict(X, output=by.output_.name, argmax=True)
            np.testing.assert_array_equal(np.array(own)[by.predict(X).astype(int)], label)
        np.testing.assert_array_equal(est.predict(X), est.model_.predict(X, output=est.output_.name, argmax=True))
        X, y = rows()
        one = hone.Model.new("6-8-1 sigmoid", seed=1)
        est = HoneClassifier(one, epochs=30, lr=0.01).fit(X, np.where(y > 0, "yes", "no"))
        p = est.predict_proba(X)
        raw = est.model_.predict(X)[:, 0]
        np.testing.assert_allclose(p, np.stack([1 - raw, raw], axis=1), rtol=1e-6, atol=1e-7)
        self.assertEqual(list(est.classes_), ["no", "yes"])
        self.assertGreater(est.score(X, np.where(y > 0, "yes", "no")), 0.75)

    def test_refusals(self):
        X, y = rows(60)
        with self.assertRaisesRegex(ValueError, "one class"):
            HoneClassifier().fit(X, np.zeros(60, int))
        with self.assertRaisesRegex(hone.DataError, "wants 6"):
            HoneClassifier(SOURCE).fit(X[:, :4], y)
        with self.assertRaisesRegex(TypeError, "epchs"):
            HoneClassifier(epchs=3)
        with self.assertRaisesRegex(ValueError, "epchs"):
            HoneClassifier().set_params(epchs=3)
        with self.assertRaisesRegex(hone.UsageError, "activation"):
            HoneClassifier("hidden 8 rellu").fit(X, y)


class GoingOn(Case):
    def test_warm_start(self):
        X, y = rows()
        names = np.array(["c", "a", "b"])[y]
        est = HoneClassifier("hidden 16", epochs=5, lr=0.01, warm_start=True, scale="standard").fit(X, names)
        first, model = est.result_["train"]["loss"], est.model_
        est.fit(X, names)
        self.assertIs(est.model_, model)
        self.assertLess(est.result_["train"]["loss"], first)
        self.assertEqual(list(est.classes_), ["a", "b", "c"])
        with self.assertRaisesRegex(ValueError, "wanted some of"):
            est.fit(X, np.where(y > 0, "a", "d"))
        cold = clone(est).set_params(warm_start=False).fit(X, names)
        self.assertEqual(cold.fit(X, names).result_["train"]["loss"], first)
        reg = HoneRegressor("hidden 16", epochs=3, warm_start=True, scale_target="standard").fit(X, X[:, 0] * 9)
        first = reg.result_["train"]["loss"]
        self.assertLess(reg.fit(X, X[:, 0] * 9).result_["train"]["loss"], first)

    def test_partial_fit(self):
        X, y = rows()
        names = np.array(["c", "a", "b"])[y]
        est = HoneClassifier("hidden 16", lr=0.01, val_split=0.2, early_stop_patience=3, class_weights={"a": 2, "c": 1})
        with self.assertRaisesRegex(ValueError, "classes must be passed"):
            est.partial_fit(X, names)
        est.partial_fit(X[y == 2], names[y == 2], classes=["a", "b", "c"])  # of one class
        self.assertEqual(est.result_["epochs"], 1)
        for _ in range(25):
            for i in range(0, 300, 100):
                est.partial_fit(X[i : i + 100], names[i : i + 100])
        self.assertGreater(est.score(X, names), 0.9)
        self.assertEqual(list(est.classes_), ["a", "b", "c"])
        again = pickle.loads(pickle.dumps(est)).partial_fit(X, names)
        self.assertGreater(again.score(X, names), 0.9)
        with self.assertRaisesRegex(ValueError, "wanted some of"):
            est.partial_fit(X[:1], ["d"])
        with self.assertRaisesRegex(ValueError, "at the first call"):
            est.partial_fit(X, names, classes=["a", "b"])
        with self.assertRaisesRegex(ValueError, "the model has 3"):
            HoneClassifier(SOURCE).partial_fit(X, y > 0, classes=[False, True])
        reg = HoneRegressor("hidden 16", lr=0.01)
        for _ in range(30):
            reg.partial_fit(X, X[:, 0])
        self.assertGreater(reg.score(X, X[:, 0]), 0.9)

    def test_weights_by_label(self):
        X, y = rows()
        fixed = {"epochs": 4, "lr": 0.01}
        for labels, by_label in (
            (np.array(["c", "a", "b"])[y], {"c": 9, "a": 1}),  # b: 1
            (np.array([30, 10, 20])[y], {10: 1, 30: 9.0}),
            (np.array([2, 0, 1])[y], {2: 9}),
        ):
            one = HoneClassifier("hidden 8", class_weights=by_label, **fixed).fit(X, labels)
            two = HoneClassifier("hidden 8", class_weights="1,1,9", **fixed).fit(X, labels)
            np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
        with self.assertRaisesRegex(ValueError, "wanted labels among"):
            HoneClassifier(class_weights={"d": 1}).fit(X, y)
        with self.assertRaisesRegex(TypeError, "is class_weights meant"):
            HoneClassifier(class_weight="balanced")


class Places(Case):
    def test_a_frame_feeds_inputs_by_name(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        frame = pd.read_csv(DATA / "frames" / "table.csv")
        X, y = frame[["kind", "zip", "hours-a-week", "age"]], frame["y"].to_numpy(object)
        fitted = HoneClassifier(str(DATA / "frames" / "numbers.onnx"), epochs=2, lr=0.01).fit(X, y)
        wanted = fitted.model_.predict(frame, output="probabilities")
        np.testing.assert_allclose(fitted.predict_proba(X), wanted, rtol=1e-6)
        self.assertGreater(fitted.result_["before"]["train"]["loss"], fitted.result_["train"]["loss"])
        self.assertEqual(cross_val_score(fitted, X, y, cv=3).shape, (3,))

    def test_pipeline_search_and_validation(self):
        X, y = rows()
        X[:, 2] = X[:, 2] * 1000 + 5000
        pipe = make_pipeline(StandardScaler(), HoneClassifier("hidden 16 relu", epochs=15, lr=0.01))
        self.assertGreater(cross_val_score(pipe, X, y, cv=3).mean(), 0.7)
        p = cross_val_predict(pipe, X, y, cv=3, method="predict_proba")
        self.assertEqual(p.shape, (300, 3))
        grid = {"honeclassifier__lr": [1e-6, 1e-2], "honeclassifier__model": ["hidden", "hidden 16 tanh"]}
        search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
        self.assertEqual(search.best_params_["honeclassifier__lr"], 1e-2)
        own = HoneClassifier("hidden 16", scale="standard", epochs=15, lr=0.01)  # the scaler goes into the file
        self.assertGreater(own.fit(X, y).score(X, y), 0.7)
        self.assertIn("Sub", [n["op"] for n in own.model_.describe()["nodes"]])

    def test_clone_pickle_and_repr(self):
        X, y = rows(90)
        est = HoneClassifier("hidden 8", epochs=2, hidden_units=[4, 4], random_state=np.random.RandomState(1))
        self.assertEqual(est.get_params()["hidden_units"], [4, 4])
        self.assertIn("epochs=2", repr(est))
        self.assertNotIn("lr", repr(est))
        self.assertEqual(clone(est).get_params()["epochs"], 2)
        est.fit(X, y)
        again = pickle.loads(pickle.dumps(est))
        np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))
        self.assertEqual(again.model_.describe()["hidden"]["units"], [4, 4])

    def test_frames_and_weights(self):
        X, y = rows()
        weight = np.where(y == 1, 50.0, 1.0)
        plain = HoneClassifier("hidden", epochs=5).fit(X, y)
        heavy = HoneClassifier("hidden", epochs=5).fit(X, y, sample_weight=weight)
        self.assertGreater((heavy.predict(X) == 1).sum(), (plain.predict(X) == 1).sum())
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        frame = pd.DataFrame(X, columns=list("abcdef"))
        est = HoneClassifier("hidden", epochs=5).fit(frame, pd.Series(y))
        self.assertEqual(list(est.feature_names_in_), list("abcdef"))
        np.testing.assert_array_equal(est.predict(frame), plain.predict(X))
        with self.assertRaisesRegex(ValueError, "feature names"):
            est.predict(frame[list("fedcba")])


    def test_groups_stay_whole(self):
        import sklearn

        X, y = rows()
        groups = np.arange(len(y)) * 7 % 31
        for kind, source, target, loss in ((HoneClassifier, SOURCE, y, None), (HoneRegressor, "hidden 4", X[:, 0], "mse")):
            est = kind(source, val_split=0.2, epochs=3).fit(X, target, groups=groups)
            model = hone.Model.load(SOURCE) if source is SOURCE else hone.Model.new("6-4-1", 0)
            model.train(X, target, groups=groups, val_split=0.2, epochs=3, seed=0, loss=loss)
            self.assertEqual(est.model_.to_bytes(), model.to_bytes())
            self.assertNotEqual(kind(source, val_split=0.2, epochs=3).fit(X, target).model_.to_bytes(), model.to_bytes())
            self.assertEqual(
                kind(source, epochs=3).fit(X, target, groups=groups).model_.to_bytes(),  # nothing is split
                kind(source, epochs=3).fit(X, target).model_.to_bytes(),
            )
        search = GridSearchCV(HoneClassifier(SOURCE, val_split=0.2, epochs=1), {"lr": [1e-3, 1e-2]}, cv=GroupKFold(3), error_score="raise")
        with sklearn.config_context(enable_metadata_routing=True):
            search.fit(X, y, groups=groups)  # for the splitter alone
            plain = search.best_estimator_.model_.to_bytes()
            search.estimator.set_fit_request(groups=True)
            search.fit(X, y, groups=groups)
            self.assertNotEqual(search.best_estimator_.model_.to_bytes(), plain)


class Pages(Case):
    def test_they_run_as_written(self):
        for page in (ROOT / "README.md", ROOT / "python" / "README.md"):
            for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S):
                r = program(code, cwd=self.folder)
                self.assertEqual(r.returncode, 0, f"{page}: {r.stderr}")
                print(f"{page.relative_to(ROOT)}: {r.stdout.strip().splitlines()[-1]}")
        for name in ("digits.onnx", "best.onnx", "better.onnx"):
            self.assertTrue((self.folder / name).exists(), name)


class Regressor(Case):
    def test_as_model(self):
        r = np.random.default_rng(2)
        X = r.normal(size=(300, 3)).astype(np.float32)
        y = X @ [1.0, -2.0, 3.0] + 100
        est = HoneRegressor("hidden 16", scale_target="standard", epochs=40, lr=0.01).fit(X, y, val=(X[:50], y[:50]))
        self.assertGreater(est.score(X, y), 0.98)
        self.assertEqual(est.predict(X).shape, (300,))
        self.assertIn("val", est.result_)
        both = HoneRegressor("hidden 16", scale_target="standard", epochs=40, lr=0.01).fit(X, np.stack([y, -y], axis=1))
        self.assertEqual(both.predict(X).shape, (300, 2))
        ones = HoneRegressor("hidden", epochs=3).fit(X, (X[:, 0] > 0).astype(int))  # numbers, though 0 and 1
        self.assertIn("r2", ones.result_["train"])
        self.assertEqual(HoneRegressor("hidden", epochs=1, loss="mae").fit(X, y).result_["hyperparameters"]["loss"], ["mae"])

    def test_what_is_for_another_optimizer_is_passed_over(self):
        r = np.random.default_rng(3)
        X = r.normal(size=(60, 2)).astype(np.float32)
        y = X @ [1.0, -1.0]
        idle = {"alpha": 0.5, "momentum": 0.5, "lr_gamma": 0.5, "swa_lr": 0.1, "pretrain_noise": 0.1, "min_delta": 0.1, "no_decay": ["bias"], "no_stratify": True}
        est, same = (HoneRegressor("hidden 4", epochs=3, optimizer="adam", **more).fit(X, y) for more in (idle, {}))
        self.assertTrue(np.array_equal(est.predict(X), same.predict(X)))
        self.assertEqual(est.get_params()["alpha"], 0.5)
        other = HoneRegressor("hidden 4", epochs=3, optimizer="momentum", momentum=0.5).fit(X, y)
        plain = HoneRegressor("hidden 4", epochs=3, optimizer="momentum").fit(X, y)
        self.assertFalse(np.array_equal(other.predict(X), plain.predict(X)))
        with self.assertRaisesRegex(Exception, "alpha: means nothing"):
            hone.Model.new("2-4-1 relu").train(X, y, epochs=1, optimizer="adam", alpha=0.5)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
