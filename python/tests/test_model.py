# SPDX-License-Identifier: MIT
"""Model against the command and ONNX Runtime: the same bytes, the same numbers; what arrays may be; what errors are."""

import copy
import gc
import itertools
import json
import logging
import pickle

from _common import DATA, HONE, Case, command, main, need, np, rows, session, skip

import hone
from hone import _arrays

if not HONE.exists():
    skip("the command is not built")
need("onnx", "onnxruntime")
SETTINGS = {"epochs": 6, "val_split": 0.2, "seed": 3, "batch_size": 16, "lr": 0.003, "metric": ["accuracy", "f1"]}


def options(settings):
    lists = {k: ",".join(v) if isinstance(v, list) else v for k, v in settings.items()}
    return [f"--{k.replace('_', '-')}={v}" for k, v in lists.items()]


def without_fingerprint(model):
    """A table's columns have names, which belong to its data's fingerprint and travel with the model; arrays have none."""
    import onnx

    m = onnx.load_model_from_string(model)
    assert "hone.data" in {p.key for p in m.metadata_props}
    left = [p for p in m.metadata_props if p.key not in ("hone.data", "hone.table")]
    del m.metadata_props[:]
    m.metadata_props.extend(left)
    return m.SerializeToString()


def convolution():
    from onnx import TensorProto, helper

    image, w = [helper.make_tensor_value_info(n, 1, ["N", 1, k, k]) for n, k in (("x", 3), ("y", 1))], [0.5] * 9
    kernel = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 3, 3], w)
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "conv", image[:1], image[1:], [kernel])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class AsTheCommand(Case):
    def setUp(self):
        super().setUp()
        self.source = DATA / "train" / "bn_f32.onnx"
        self.X, self.y = rows()

    def by_command(self, job, *args):
        np.save(self.folder / "x.npy", self.X)
        np.save(self.folder / "y.npy", self.y)
        out = self.folder / "command.onnx"
        command(job, self.source, "--x", self.folder / "x.npy", "--y", self.folder / "y.npy", *args, "-o", out, "--quiet")
        return out.read_bytes()

    def test_train_gives_the_same_bytes(self):
        model = hone.Model.load(self.source)
        found = model.train(self.X, self.y, **SETTINGS)
        self.assertEqual(model.to_bytes(), self.by_command("train", *options(SETTINGS)))
        self.assertEqual(found["stop_reason"], "max_epochs")
        self.assertLess(found["val"]["loss"], found["before"]["val"]["loss"])

    def test_text_labels_give_the_same_bytes_as_a_table(self):
        names = np.array(["ant", "bee", "cat"])
        table = self.folder / "rows.csv"
        head = ",".join(f"c{i}" for i in range(6)) + ",kind\n"
        body = (",".join(repr(float(v)) for v in x) + f",{names[k]}\n" for x, k in zip(self.X, self.y, strict=True))
        table.write_text(head + "".join(body))
        out = self.folder / "command.onnx"
        command("train", self.source, "--data", table, "--target", "kind", *options(SETTINGS), "-o", out, "--quiet")
        for labels in (names[self.y], names[self.y].astype(object), list(names[self.y])):
            model = hone.Model.load(self.source)
            model.train(self.X, labels, **SETTINGS)
            self.assertEqual(without_fingerprint(model.to_bytes()), without_fingerprint(out.read_bytes()))
        from_file = hone.Model.load(self.source)
        from_file.train(data=table, target="kind", **SETTINGS)
        self.assertEqual(from_file.to_bytes(), out.read_bytes())
        self.assertEqual(model.outputs[0].classes, ("ant", "bee", "cat"))
        told = model.predict(self.X, argmax=True)
        self.assertGreater((told == names[self.y]).mean(), 0.6)
        few = model.evaluate(self.X[:9], ["cat" if k == "cat" else "bee" for k in names[self.y[:9]]])
        self.assertEqual(few["rows"], 9)

    def test_labels_keep_their_spelling(self):
        for names in (["00", "01", "02"], ["0.0", "1.0", "2.0"]):
            labels = np.array(names)[self.y]
            model = hone.Model.load(self.source)
            model.train(self.X, labels, epochs=20, lr=0.01)
            for one in (model, hone.Model.load(model.to_bytes())):
                self.assertEqual(one.outputs[0].classes, tuple(names))
                self.assertGreater((one.predict(self.X, argmax=True) == labels).mean(), 0.6)

    def test_tables_are_as_files(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        r = np.random.default_rng(4)
        table = pd.DataFrame(r.normal(size=(240, 3)), columns=["a", "b", "c"])
        table["kind"] = pd.Categorical(np.where(table.b > 0, "red", 'a "dark", blue'))
        table["flag"] = table.c > 0.5
        table["n"] = pd.array([1, None, 3] * 80, dtype="Int64")
        table.loc[3, "a"] = np.nan
        table["label"] = np.where((table.b > 0) ^ table.flag, "yes", "no")
        rows, more = table[:200], table[200:]
        model = hone.Model.new("7-8-2 softmax", seed=1)
        model.save(self.folder / "m.onnx")
        for name, part in (("r", rows), ("v", more)):
            part.assign(flag=part.flag.astype(int)).to_csv(self.folder / f"{name}.csv", index=False)
        same = {"epochs": 5, "lr": 0.01, "scale": "standard", "impute": "median", "target": "label"}
        model.train(data=rows, val_data=more, encode={"kind": "onehot"}, **same)
        files = ["--data", self.folder / "r.csv", "--val-data", self.folder / "v.csv", "--encode", "kind=onehot"]
        command("train", self.folder / "m.onnx", *files, *options(same), "-o", self.folder / "o.onnx")
        self.assertEqual(model.to_bytes(), (self.folder / "o.onnx").read_bytes())
        turned = more[more.columns[::-1]]  # by their names
        np.testing.assert_array_equal(
            model.predict(data=turned.drop(columns="label")), model.predict(data=more.drop(columns="label"))
        )
        said = model.predict(data=turned.drop(columns="label"), argmax=True)
        self.assertEqual((said == more.label).mean(), model.evaluate(data=turned, target="label")["accuracy"])
        with self.assertRaisesRegex(hone.DataError, "data=frame"):
            model.train(rows.drop(columns="label"), rows.label)
        with self.assertRaisesRegex(hone.DataError, "row 1, column 0"):
            model.predict(rows[["n"] * 7].shift(1))

    def test_frames_beside_files_with_commas(self):
        """A frame's numbers are numbers, whatever the model knows of the files that it learned from."""
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        r = np.random.default_rng(5)
        table = pd.DataFrame(r.normal(size=(60, 3)), columns=["a", "b", "t"])
        table.to_csv(self.folder / "euro.csv", index=False, sep=";", decimal=",")
        model = hone.Model.new("2-4-1", seed=1)
        model.train(data=self.folder / "euro.csv", target="t", decimal=",", epochs=1)
        want = model.evaluate(data=self.folder / "euro.csv", target="t")["loss"]
        for more in ({}, {"decimal": ","}):
            self.assertAlmostEqual(model.evaluate(data=table, target="t", **more)["loss"], want, 6)
        model.train(data=self.folder / "euro.csv", val_data=table[:9], target="t", epochs=1)

    def test_frames_whose_names_could_be_rows(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        X = self.X[:, :3]
        mixed, counted = pd.DataFrame(X).assign(target=self.y), pd.DataFrame(X).assign(**{"3": self.y})
        counted.columns = range(4)
        words = pd.DataFrame({"x": ["x", "b", "x", "s"] * 30, "e": ["e", "p", "p", "e"] * 30})  # a name that is a value, too
        net = "3-6-3 relu softmax"
        wanted = hone.Model.new(net, seed=2)
        wanted.train(X[:200], self.y[:200], val=(X[200:], self.y[200:]), epochs=3)
        for table, target in ((mixed, "target"), (counted, 3)):
            model = hone.Model.new(net, seed=2)
            model.train(data=table[:200], val_data=table[200:], target=target, epochs=3)
            np.testing.assert_array_equal(model.predict(X), wanted.predict(X))
            np.testing.assert_array_equal(model.predict(data=table.drop(columns=target)), wanted.predict(X))
            self.assertEqual(model.evaluate(data=table, target=target)["rows"], len(X))
            found = model.tune(data=table, target=target, search={"lr": [0.01, 0.02]}, folds=3, trials=2, epochs=1)
            self.assertEqual(len(found["trials"]), 2)
        model = hone.Model.new("3-2 softmax")
        model.train(data=words, target="e", encode={"x": "onehot"}, epochs=1)
        self.assertEqual(len(model.predict(data=words[["x"]])), 120)
        nameless = hone.Model.new(net, seed=2)
        nameless.train(data=mixed, target=3, header="no", epochs=1)
        self.assertEqual(len(nameless.predict(data=mixed, ignore=3, header="no")), len(X))

    def test_frames_beside_files(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        table = pd.DataFrame(self.X, columns=list("abcdef")).assign(y=self.y)
        file = self.folder / "v.csv"
        table[200:].to_csv(file, index=False)
        model = hone.Model.load(self.source)
        self.assertIsNotNone(model.train(data=table[:200], val_data=file, target="y", epochs=1)["val"])
        table.columns = range(7)
        table[200:].to_csv(file, index=False, header=False)
        with self.assertRaisesRegex(hone.UsageError, "header: val_data is a file and data a table .*header='yes'"):
            model.train(data=table[:200], val_data=file, target=6, epochs=1)
        self.assertIsNotNone(model.train(data=table[:200], val_data=file, target=6, header="no", epochs=1)["val"])
        with self.assertRaisesRegex(hone.DataError, "^val_data: row 5, column 'b': found 'no'"):
            table.columns = list("abcdefy")
            odd = table[200:].astype({"b": object})
            odd.iloc[3, 1] = "no"
            model.train(data=table[:200], val_data=odd, target="y", epochs=1)
        with self.assertRaisesRegex(hone.DataError, "^data: its columns have 2 levels"):
            model.predict(data=pd.concat({"a": table}, axis=1))

    def test_names_of_frames_travel(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        rows = pd.DataFrame(np.random.default_rng(5).normal(size=(90, 3)))
        rows[3] = (rows[0] > rows[1]).astype(int)
        counted, named = hone.Model.new("3-4-2", seed=1), hone.Model.new("3-4-2", seed=1)
        counted.train(data=rows, target=3, epochs=2)
        table = rows.rename(columns=dict(zip(range(4), ["b", "a", "c", "y"], strict=True)))
        named.train(data=table, target="y", epochs=2)
        self.assertNotIn(b"hone.table", counted.to_bytes())
        self.assertIn(b"x\tb\tnone\t-\nx\ta\tnone\t-\nx\tc\tnone\t-", named.to_bytes())
        want = counted.predict(data=rows.drop(columns=3))
        self.assertEqual(len(want), 90)
        np.testing.assert_array_equal(named.predict(data=table[["y", "c", "a", "b"]]), want)
        np.testing.assert_array_equal(named.predict(data=rows[[0, 1, 2]]), want)
        mixed = hone.Model.new("3-4-2", seed=1)
        mixed.train(data=rows.rename(columns={3: "y"}), target="y", epochs=2)
        np.testing.assert_array_equal(mixed.predict(data=rows.rename(columns={3: "y"})[[2, "y", 1, 0]]), want)

    def test_tune_gives_the_same_bytes(self):
        search = ["lr=log:0.0001..0.1", "batch_size=16,32"]
        fixed = {"folds": 3, "trials": 4, "sampler": "random", "epochs": 3, "seed": 5}
        told = []
        model = hone.Model.load(self.source)
        space = {"lr": (1e-4, 1e-1, "log"), "batch_size": [16, 32]}
        found = model.tune(self.X, self.y, search=space, progress=told.append, **fixed)
        args = itertools.chain.from_iterable(("--search", s) for s in search)
        self.assertEqual(model.to_bytes(), self.by_command("tune", *args, *options(fixed)))
        self.assertEqual(sorted(t.trial for t in told), [t["number"] for t in found["trials"]])
        self.assertTrue(all(t.state == "done" for t in told))
        best = next(t for t in told if t.trial == found["best_trial"])
        self.assertEqual(set(best.settings), {"lr", "batch_size"})
        for sizes in (range(16, 48, 16), np.array([16, 32])):
            again = hone.Model.load(self.source)
            again.tune(self.X, self.y, search={**space, "batch_size": sizes}, **fixed)
            self.assertEqual(again.to_bytes(), model.to_bytes())
        self.assertAlmostEqual(np.mean(best.folds), best.value)

    def test_spaces_as_in_yaml(self):
        space = {
            "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
            "optimizer": {"type": "categorical", "choices": ["adam", "momentum"]},
            "momentum": {"type": "float", "low": 0.5, "high": 0.9, "step": 0.1, "when": {"optimizer": ["momentum"]}},
            "epochs": {"type": "int", "low": np.int64(2), "high": 4},
            "batch_size": {"choices": range(16, 48, 16)},
            "no_shuffle": {"type": "bool", "when": {"optimizer": "adam", "batch_size": [16, 32]}},
        }
        lines = ["lr=log:1e-4..0.1", "optimizer=adam,momentum", "momentum=0.5..0.9:step=0.1?optimizer=momentum", "epochs=int:2..4",
                 "batch_size=16,32", "no_shuffle=bool?optimizer=adam&batch_size=16|32"]
        fixed = {"folds": 2, "trials": 3, "sampler": "random", "seed": 5}
        found, wanted = (hone.Model.load(self.source).tune(self.X, self.y, search=s, **fixed) for s in (space, lines))
        self.assertEqual(found["space"], wanted["space"])
        self.assertEqual(found["space"]["momentum"]["when"], {"optimizer": ["momentum"]})
        self.assertEqual([t["params"] for t in found["trials"]], [t["params"] for t in wanted["trials"]])
        for wrong, says in (
            ({"type": "float", "low": 1}, "search: lr: wanted low and high"),
            ({"low": 1, "hi": 2}, "search: lr: found 'hi', wanted type, low, high, log, step, points, choices or when"),
            ({"type": "categorical"}, "search: lr: wanted choices"),
            ({"type": "categorical", "choices": [1, 2], "low": 1}, "search: lr: found low: bounds belong to type float or int"),
            ({"type": "int", "choices": [1, 2]}, "search: lr: choices belong to type categorical"),
            ({"type": "real", "low": 1, "high": 2}, "search: lr: type: found 'real', wanted float, int, categorical or bool"),
            ({"low": 1, "high": 2, "when": ["adam"]}, "search: lr: when: found list, wanted a mapping"),
        ):
            with self.subTest(says), self.assertRaisesRegex(hone.UsageError, says):
                hone.Model.load(self.source).tune(self.X, self.y, search={"lr": wrong}, **fixed)

    def test_weights_and_validation_rows(self):
        weight = np.where(self.y == 2, 3.0, 1.0)
        np.save(self.folder / "w.npy", weight[:200])
        for name, part in (("vx", self.X[200:]), ("vy", self.y[200:])):
            np.save(self.folder / f"{name}.npy", part)
        model = hone.Model.load(self.source)
        model.train(self.X[:200], self.y[:200], val=(self.X[200:], self.y[200:]), sample_weight=weight[:200], epochs=4)
        f = self.folder
        val = ("--val-x", f / "vx.npy", "--val-y", f / "vy.npy", "--sample-weights", f / "w.npy", "--epochs", 4)
        self.X, self.y = self.X[:200], self.y[:200]
        self.assertEqual(model.to_bytes(), self.by_command("train", *val))

    def test_groups(self):
        numbers = np.arange(len(self.y)) * 7 % 31
        names = np.array([f"site {g:02}" for g in numbers])
        large = numbers.astype(np.uint64) + np.uint64(2**63)
        np.save(self.folder / "g.npy", numbers)
        file = ("--group", self.folder / "g.npy")
        wanted = self.by_command("train", *options(SETTINGS), *file)
        plain = hone.Model.load(self.source)
        plain.train(self.X, self.y, **SETTINGS)
        self.assertNotEqual(plain.to_bytes(), wanted)
        fixed = {"folds": 3, "stratified": True, "trials": 2, "sampler": "random", "epochs": 2, "seed": 5}
        searched = self.by_command("tune", "--search", "lr=log:0.0001..0.1", *(o.replace("=True", "") for o in options(fixed)), *file, "--force")
        for groups in (numbers, names, large, list(names)):
            model = hone.Model.load(self.source)
            model.train(self.X, self.y, groups=groups, **SETTINGS)
            self.assertEqual(model.to_bytes(), wanted)
            model = hone.Model.load(self.source)
            model.tune(self.X, self.y, groups=groups, search={"lr": (1e-4, 1e-1, "log")}, **fixed)
            self.assertEqual(model.to_bytes(), searched)
        for error, text, groups, more in (
            (hone.UsageError, "groups: means nothing without one of val_split", numbers, {}),
            (hone.DataError, "wanted one group a row", self.X, SETTINGS),
            (hone.DataError, "299", numbers[:299], SETTINGS),
            (hone.DataError, "row 3: found nan", np.where(np.arange(len(self.y)) == 2, np.nan, 1.0), SETTINGS),
            (hone.DataError, "cannot be sorted", [1, "a"] * (len(self.y) // 2 - 1) + [1, None], SETTINGS),
        ):
            with self.subTest(text), self.assertRaisesRegex(error, text):
                model.train(self.X, self.y, groups=groups, **more)
        with self.assertRaisesRegex(hone.UsageError, "groups: is given without X"):
            model.train(groups=numbers, data="rows.csv", target="y", val_split=0.2)

    def test_lr_find_finds_the_same(self):
        np.save(self.folder / "x.npy", self.X)
        np.save(self.folder / "y.npy", self.y)
        files = ("--x", self.folder / "x.npy", "--y", self.folder / "y.npy")
        wanted = json.loads(command("lr-find", self.source, *files, "--batch-size", 16, "--steps", 60, "--json"))
        model = hone.Model.load(self.source)
        before = model.to_bytes()
        found = model.lr_find(self.X, self.y, batch_size=16, steps=60)
        self.assertEqual(found["points"], wanted["points"])
        self.assertEqual(found["suggestions"], wanted["suggestions"])
        self.assertEqual(model.to_bytes(), before)

    def test_untouched_is_the_same_file(self):
        model = hone.Model.load(self.source)
        self.assertEqual(model.to_bytes(), self.source.read_bytes())
        model.save(self.folder / "copy.onnx")
        self.assertTrue(hone.diff(self.source, self.folder / "copy.onnx")["equal"])
        with self.assertRaises(hone.UsageError):
            model.save(self.folder / "copy.onnx")
        model.save(self.folder / "copy.onnx", force=True)

    def test_a_run_goes_on_where_it_stopped(self):
        for name, part in (("x", self.X), ("y", self.y)):
            np.save(self.folder / f"{name}.npy", part)
        files = {"x": self.folder / "x.npy", "y": self.folder / "y.npy", **SETTINGS}
        whole = hone.Model.load(self.source)
        whole.train(**files)

        def interrupted(p):
            if p.epoch == 3 and p.epoch_end:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            hone.Model.load(self.source).train(**files, run_dir=self.folder / "run", progress=interrupted)
        seen = []
        model, found = hone.resume(self.folder / "run", progress=seen.append)
        self.assertEqual((found["stop_reason"], found["epochs"]), ("max_epochs", 6))
        self.assertEqual(model.to_bytes(), whole.to_bytes())
        self.assertEqual(seen[-1].epoch, 6)
        self.assertGreater(seen[0].epoch, 3)


class AsOnnxRuntime(Case):
    def test_after_training(self):
        import onnx

        X, y = rows()
        proto = onnx.load(DATA / "train" / "bn_f32.onnx")
        before = proto.SerializeToString()
        for source in (proto, before, bytearray(before), DATA / "train" / "bn_f32.onnx"):
            model = hone.Model.load(source)
            model.train(X, y, epochs=3, val_split=0.2)
            onnx.checker.check_model(onnx.load_model_from_string(model.to_bytes()))
            wanted = session(model).run(None, {model.inputs[0].name: X})[0]
            np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-4, atol=1e-6)
        self.assertEqual(proto.SerializeToString(), before)

    def test_a_row_alone_has_the_bits_it_has_in_company(self):
        from onnx import TensorProto, helper, numpy_helper

        rng = np.random.default_rng(4)
        X = rng.normal(size=(45, 37)).astype(np.float32)
        for outputs in (1, 2, 3, 4, 5, 6, 7, 8, 9, 40, 50, 65, 100, 130):
            w = numpy_helper.from_array(rng.normal(size=(37, outputs)).astype(np.float32), "w")
            graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 37])],
                                      [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])], [w])
            turned = hone.Model.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
            for model in (hone.Model.new(f"37-29-{outputs} tanh"), turned):
                together = model.predict(X)
                for rows in (1, 2, 3, 7, 20):
                    apart = np.concatenate([model.predict(X[i : i + rows]) for i in range(0, len(X), rows)])
                    self.assertEqual(apart.tobytes(), together.tobytes(), (outputs, rows))

    def test_a_class_at_each_of_several_places(self):
        from onnx import TensorProto, helper, numpy_helper

        rng = np.random.default_rng(2)
        weights = [numpy_helper.from_array(rng.normal(size=(5, 12)).astype(np.float32), "w"), numpy_helper.from_array(np.array([-1, 4, 3]), "s")]
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Reshape", ["h", "s"], ["y"])]
        graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 3])], weights)
        model = hone.Model.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
        X = rng.normal(size=(60, 5)).astype(np.float32)
        y = (X[:, :4] > 0).astype(int) + (X[:, :4] > 1)
        model.train(X, y * 2, epochs=20, lr=0.05)
        scores = model.predict(X)
        self.assertEqual(scores.shape, (60, 4, 3))
        self.assertEqual(model.predict(X, argmax=True).tolist(), (scores.argmax(-1) * 2).tolist())
        self.assertEqual(model.predictor(60, argmax=True)(X).tolist(), (scores.argmax(-1) * 2).tolist())

    def test_a_frame_of_numbers_and_text(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        frame = pd.read_csv(DATA / "frames" / "table.csv", dtype={"city": str})
        for name in ("text", "text_strict"):
            path = DATA / "frames" / f"{name}.onnx"
            model = hone.Model.load(path)
            feeds = {}
            for i in model.inputs:
                column = frame[i.name.replace("_", "-")]
                feeds[i.name] = column.to_numpy(object if i.dtype == "string" else np.float32).reshape(-1, 1)
            wanted = session(model).run(None, feeds)[1]
            for rows in (frame, feeds, {k: v.astype(str) if v.dtype == object else v for k, v in feeds.items()}):
                np.testing.assert_allclose(model.predict(rows, output="probabilities"), wanted, rtol=1e-5, atol=1e-6)
            by_file = model.predict(data=frame.drop(columns="y"), output="probabilities")
            np.testing.assert_allclose(by_file, wanted, rtol=1e-5, atol=1e-6)
            told = model.train(frame, frame["y"].to_numpy(object), epochs=3, monitor="train_loss")
            self.assertLess(told["train"]["loss"], told["before"]["train"]["loss"])
            np.testing.assert_allclose(model.predict(frame, output="probabilities"), session(model).run(None, feeds)[1], rtol=1e-4, atol=1e-6)
            with self.assertRaisesRegex(hone.DataError, "city.*wanted rows of text"):
                model.predict(dict(feeds, city=np.zeros((len(frame), 1))))
            with self.assertRaisesRegex(hone.UnsupportedError, "is an input of text"):
                model.predictor(4)
        odd = frame.assign(city="Paris")
        with self.assertRaisesRegex(hone.DataError, "row 1: found 'Paris', which is no category"):
            model.predict(odd)
        with self.assertRaisesRegex(hone.DataError, "row 3: found 7 among text"):
            model.predict(dict(feeds, city=np.array(["Bern", "Bern", 7] + ["Bern"] * (len(frame) - 3), object)))

    def test_several_inputs_and_the_labels_of_a_pipeline(self):
        import onnx

        model = hone.Model.load(DATA / "sklearn" / "names.onnx")
        width = model.inputs[0].shape[1]
        X = np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)
        labels, maps = session(model).run(None, {model.inputs[0].name: X})
        learns = [v for v in model.outputs if v.learns]
        self.assertEqual(len(learns), 1)
        told = model.predict(X, output=learns[0].name, argmax=True)
        self.assertEqual(list(told), list(labels))
        p = model.predict(X, output=learns[0].name)
        wanted = [[row[c] for c in learns[0].classes] for row in maps]
        np.testing.assert_allclose(p, wanted, rtol=1e-4, atol=1e-6)
        both = model.predict(X)
        self.assertEqual(list(both), [v.name for v in model.outputs])
        self.assertEqual(both[model.outputs[0].name].tolist(), list(labels))
        for name, kinds in (("sk_text", "Uf"), ("torch_codes", "fi"), ("torch_half", "fib"), ("torch_only", "i")):
            other = hone.Model.load(DATA / "labels" / f"{name}.onnx")
            x = np.random.default_rng(1).normal(size=(1100, 5)).astype(np.float32)
            found = other.predict(x)
            found = list(found.values()) if isinstance(found, dict) else [found]
            self.assertEqual("".join(y.dtype.kind for y in found), kinds)
            s = session(other)
            for y, by in zip(found, s.run(None, {s.get_inputs()[0].name: x}), strict=True):
                if y.dtype.kind != "f":
                    self.assertEqual(y.tolist(), by.tolist())
            if name == "torch_only":
                self.assertEqual(other.predict(x, argmax=True).tolist(), found[0].tolist())
        two = onnx.helper.make_model(
            onnx.helper.make_graph(
                [
                    onnx.helper.make_node("Concat", ["a", "b"], ["ab"], axis=1),
                    onnx.helper.make_node("MatMul", ["ab", "w"], ["y"]),
                ],
                "two",
                [onnx.helper.make_tensor_value_info(n, 1, ["N", k]) for n, k in (("a", 1), ("b", 2))],
                [onnx.helper.make_tensor_value_info("y", 1, ["N", 1])],
                [onnx.helper.make_tensor("w", 1, [3, 1], [1.0, 2.0, 3.0])],
            ),
            opset_imports=[onnx.helper.make_opsetid("", 17)],
            ir_version=8,
        )
        model = hone.Model.load(two)
        feeds = {"b": np.ones((4, 2)), "a": np.arange(4)}
        np.testing.assert_array_equal(model.predict(feeds), [[5], [6], [7], [8]])
        found = model.train(feeds, {"y": np.full((4, 1), 2.0)}, epochs=2, loss={"y": "mae"})
        self.assertEqual(found["epochs"], 2)
        with self.assertRaisesRegex(hone.DataError, "given for this input"):
            model.predict({"a": np.arange(4)})


class Arrays(Case):
    def test_what_lies_right_is_not_copied(self):
        for dtype in (np.float32, np.float64, np.float16, np.uint8, np.int32, np.int64):
            a = np.ones((5, 3), dtype)
            self.assertIs(_arrays.numbers(a, "X").data, a)
        for a in (
            np.ones((5, 6), np.float32)[:, ::2],
            np.ones((3, 5), np.float32).T,
            np.ones((5, 3), ">f4"),
            np.ones((5, 3), "?"),
        ):
            w = _arrays.numbers(a, "X")
            self.assertTrue(w.data.flags.c_contiguous and w.data.dtype.isnative)
            np.testing.assert_array_equal(w.data, a)
            self.assertEqual((w.struct.rows, w.struct.per_row), (5, 3))
        self.assertEqual(_arrays.numbers([[1, 2], [3, 4]], "X").struct.dtype, 7)
        self.assertEqual(_arrays.numbers(np.ones((4, 2, 3)), "X").struct.per_row, 6)

    def test_every_type_gives_the_same_numbers(self):
        model = hone.Model.new("3-4-2 tanh", seed=1)
        X = np.random.default_rng(0).integers(0, 9, size=(40, 3))
        wanted = model.predict(X.astype(np.float32))
        self.assertEqual(wanted.dtype, np.float32)
        for dtype in ["f8", "f2", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", ">f4", ">i8", "O"]:
            np.testing.assert_array_equal(model.predict(X.astype(dtype)), wanted, dtype)
        np.testing.assert_array_equal(model.predict(X.tolist()), wanted)
        np.testing.assert_array_equal(model.predict(X[:1]), wanted[:1])
        many = np.resize(X, (5000, 3))
        np.testing.assert_array_equal(model.predict(many), np.resize(wanted, (5000, 2)))

    def test_refusals(self):
        model = hone.Model.new("3-4-2 softmax")
        X = np.ones((6, 3))
        y = np.array([0, 1, 0, 1, 0, 1])
        cases = [
            ("x: row 2, column 1", lambda: model.predict(np.where(np.arange(18).reshape(6, 3) == 4, np.nan, X))),
            ("wants 3", lambda: model.train(X[:, :2], y)),
            ("as many of each", lambda: model.train(X, y[:5])),
            ("wanted rows of values", lambda: model.predict(np.empty((0, 3)))),
            ("wanted rows of values", lambda: model.predict(3)),
            ("found text", lambda: model.predict([["a", "b", "c"]])),
            ("complex", lambda: model.predict(X + 1j)),
            ("no numbers", lambda: model.predict(np.array([[object()] * 3]))),
            ("row 2: found None", lambda: model.train(X, np.array(["a", None, "b", "a", "b", "a"], object))),
            ("one label a row", lambda: model.train(X, [["a", "b"]] * 6)),
            ("different ones", lambda: model.train(X, ["a", "b", "c", "a", "b", "c"])),
        ]
        for text, call in cases:
            with self.subTest(text), self.assertRaisesRegex(hone.DataError, text):
                call()

    def test_frames(self):
        try:
            import pandas as pd
        except ImportError:
            self.skipTest("pandas is not installed")
        model = hone.Model.new("3-4-2 softmax", seed=2)
        X = np.random.default_rng(0).normal(size=(30, 3))
        frame = pd.DataFrame(X, columns=["a", "b", "c"])
        np.testing.assert_array_equal(model.predict(frame), model.predict(X))
        mixed = frame.assign(c=(frame.c * 10).round().astype("Int64"))
        np.testing.assert_array_equal(model.predict(mixed), model.predict(mixed.astype(float)))
        labels = pd.Series(np.where(X[:, 0] > 0, "yes", "no"))
        for y in (labels, labels.astype("category"), labels.astype("string")):
            hone.Model.load(model.to_bytes()).train(frame, y, epochs=1)
        with self.assertRaisesRegex(hone.DataError, "column b"):
            model.predict(frame.assign(b="x"))
        with self.assertRaisesRegex(hone.DataError, "another order"):
            model.train(frame, labels, val=(frame[["c", "a", "b"]], labels))


class Parameters(Case):
    def test_the_table(self):
        table = {p.name: p for p in hone.params()}
        self.assertEqual((table["lr"].type, table["lr"].low, table["lr"].low_open), ("float", 0.0, True))
        self.assertEqual(table["optimizer"].initial, "adam")
        self.assertEqual(hone.version(), command("--version").split()[-1])

    def test_wrong_ones(self):
        model = hone.Model.new("3-4-2 softmax")
        X, y = np.ones((6, 3)), [0, 1, 0, 1, 0, 1]
        cases = [
            ("did you mean 'epochs'", {"epchs": 3}),
            (r"wanted a number in \(0, inf\)", {"lr": -1}),
            ("adamw", {"optimizer": "adamm"}),
            ("train has no use for it.*group tune", {"folds": 3}),
            ("train has no use for it", {"x_scale": 0.5}),
            ("option of the command only", {"tensorboard": "runs"}),
            ("found 2 values, wanted one", {"lr": [0.1, 0.2]}),
            ("found dict_keys", {"optimizer": [{}.keys()]}),
            ("val_split=0.2", {"early_stop_patience": 3}),
        ]
        for text, more in cases:
            with self.subTest(text), self.assertRaisesRegex(hone.UsageError, text) as caught:
                model.train(X, y, **more)
            self.assertIsInstance(caught.exception, ValueError)
        with self.assertRaisesRegex(hone.UsageError, "given without X"):
            model.train(sample_weight=y)
        with self.assertRaisesRegex(hone.UsageError, "no target data"):
            model.train(X)
        with self.assertRaisesRegex(hone.UsageError, r"val: found ndarray, wanted \(X, y\)"):
            model.train(X, y, val=X)
        with self.assertRaisesRegex(hone.UsageError, "hidden_units: found '16,8', wanted numbers"):  # not 8, 16 and 4
            model.tune(X, y, search={"hidden_units": ["4", "16,8"]}, val_split=0.5)
        with self.assertRaisesRegex(hone.DataError, r"c: no data.*\(x=c=FILE, or input=c=COLUMN"):
            hone.Model.load(DATA / "embedding" / "columns.onnx").train({"x": X}, y)

    def test_values(self):
        found = hone.Model.new("3-8-8-2 softmax").train(
            np.eye(3, dtype="f4"),
            [0, 1, 0],
            epochs=np.int64(2),
            lr=np.float32(0.5),
            no_shuffle=True,
            hidden_units=(4, 3),
            lr_schedule="multistep",
            lr_milestones=[1],
            class_weights=[1, 2.5],
            clip_norm=None,
        )
        self.assertEqual(found["hyperparameters"]["lr"], 0.5)
        self.assertEqual([w["weight"] for w in found["class_weights"]], [1, 2.5])


class Errors(Case):
    def test_kinds(self):
        for kind, python, source in (
            (hone.InputOutputError, OSError, self.folder / "none.onnx"),
            (hone.ModelError, ValueError, b"no model"),
            (hone.UsageError, ValueError, 3),
        ):
            with self.assertRaises(kind) as caught:
                hone.Model.load(source)
            e = caught.exception
            self.assertIsInstance(e, python)
            self.assertIsInstance(e, hone.Error)
            self.assertTrue(e.status < 0 and e.name.startswith("HONE_E_") and e.text and e.text in str(e))
            again = pickle.loads(pickle.dumps(e))
            self.assertEqual((type(again), str(again), again.where), (kind, str(e), e.where))
        with self.assertRaises(hone.UnsupportedError) as caught:
            hone.Model.load(convolution()).train(np.ones((2, 9)), [0, 1])
        self.assertIsInstance(caught.exception, NotImplementedError)

    def test_a_failure_leaves_the_model(self):
        model = hone.Model.new("3-4-2 softmax")
        before = model.to_bytes()
        with self.assertRaises(hone.Error):
            model.train(np.ones((4, 3)), [0, 1, 2, 3], epochs=2)
        self.assertEqual(model.to_bytes(), before)

    def test_the_log(self):
        with self.assertLogs("hone", logging.INFO) as seen:
            hone.Model.new("3-4-2 softmax").train(np.ones((4, 3)), list("abab"), epochs=1)
        self.assertTrue(any("sorted order: a, b" in line for line in seen.output), seen.output)


class Copies(Case):
    def test_pickle_and_copy(self):
        X, y = rows(60)
        model = hone.Model.load(DATA / "train" / "bn_f32.onnx")
        model.train(X, y, epochs=2)
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            self.assertEqual(twin.to_bytes(), model.to_bytes())
        twin.train(X, y, epochs=2)
        self.assertNotEqual(twin.to_bytes(), model.to_bytes())

    def test_edits_show(self):
        model = hone.Model.new("3-4-2 softmax")
        self.assertEqual(model.describe()["hidden"]["units"], [4])
        model.edit("hidden units=5,6")
        self.assertEqual(model.describe()["hidden"]["units"], [5, 6])
        self.assertTrue(model.gradcheck()["max_rel"] < 1e-4)
        model.check()


class Predictors(Case):
    def test_same_as_predict(self):
        r = np.random.default_rng(3)
        floats = [("train/bn_f32", 6), ("train/bn_f64", 6), ("labels/sk_text", 5), ("labels/torch_half", 5)]
        for (name, columns), argmax in itertools.product(floats, (False, True)):
            model = hone.Model.load(DATA / f"{name}.onnx")
            predictor = model.predictor(argmax=argmax)
            for n in (1, 64, 1024):
                X = r.normal(size=(n, columns))
                with self.subTest(name, argmax=argmax, rows=n):
                    self.same(model.predict(X, argmax=argmax, threads=1), predictor(X))
        X = {"c": r.integers(0, 2, (9, 3)), "x": r.normal(size=(9, 4)).astype(np.float32)}
        model = hone.Model.load(DATA / "embedding" / "columns.onnx")
        self.same(model.predict(X), model.predictor(9)(X))

    def same(self, wanted, found):
        self.assertEqual(type(wanted), type(found))
        for name in wanted if isinstance(wanted, dict) else ():
            self.same(wanted[name], found[name])
        if not isinstance(wanted, dict):
            self.assertEqual((wanted.dtype, wanted.shape), (found.dtype, found.shape))
            np.testing.assert_array_equal(wanted, found)

    def test_it_keeps_the_weights(self):
        X, y = rows()
        model = hone.Model.load(DATA / "train" / "bn_f32.onnx")
        old, before = model.predictor(), model.predict(X)
        model.train(X, y, epochs=2)
        np.testing.assert_array_equal(old(X), before)
        np.testing.assert_array_equal(model.predictor()(X), model.predict(X))
        self.assertFalse(np.array_equal(before, model.predict(X)))
        del model
        gc.collect()
        np.testing.assert_array_equal(old(X), before)

    def test_errors(self):
        predictor = hone.Model.load(DATA / "train" / "bn_f32.onnx").predictor(8)
        self.assertEqual(predictor.max_rows, 8)
        with self.assertRaisesRegex(hone.UsageError, "found 9, wanted 0 to 8"):
            predictor(np.zeros((9, 6)))
        with self.assertRaisesRegex(hone.DataError, "has 5 values, wanted 6"):
            predictor(np.zeros((8, 5)))
        with self.assertRaisesRegex(hone.DataError, "row 2, column 3"):
            predictor(np.where(np.arange(48).reshape(8, 6) == 9, np.nan, 0))
        with self.assertRaises(hone.UsageError):
            predictor({"z": np.zeros((8, 6))})
        with self.assertRaisesRegex(hone.UsageError, "epochs"):
            hone.Model.load(DATA / "train" / "bn_f32.onnx").predictor(epochs=3)


if __name__ == "__main__":
    main()
