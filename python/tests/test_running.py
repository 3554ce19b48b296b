# SPDX-License-Identifier: MIT
"""While calls run: callbacks, Ctrl-C, threads; and that nothing stays behind when objects go away."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

from _common import DATA, Case, main, np, program, rows

import hone

SOURCE = DATA / "train" / "bn_f32.onnx"
LONG = "X = np.random.default_rng(0).normal(size=(300, 6)); y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)\n"


class Callbacks(Case):
    def test_progress(self):
        X, y = rows()
        told, threads = [], set()

        def progress(p):
            threads.add(threading.get_ident())
            told.append(p)

        found = hone.Model.load(SOURCE).train(X, y, epochs=4, val_split=0.2, metric="accuracy", progress=progress)
        self.assertEqual([p.epoch for p in told if p.epoch_end], [0, 1, 2, 3, 4])
        self.assertEqual(threads, {threading.get_ident()})  # where train was called
        self.assertEqual(told[-1].metrics["val_accuracy"] >= 0, True)
        best = [p.metrics["val_loss"] for p in told if p.epoch_end][found["best_epoch"]]
        self.assertAlmostEqual(best, found["val"]["loss"], places=6)

    def test_pretraining(self):
        X, y = rows()
        told, layers = [], []
        model = hone.Model.load(SOURCE)
        fixed = {"epochs": 1, "pretrain": 15, "pretrain_lr": 0.02, "val": (X, y), "save": "last"}
        found = model.train(X[:40], y[:40], **fixed, unlabelled=X, progress=told.append)
        for layer in found["pretrain"]["layers"]:
            self.assertLess(layer["after"], layer["before"])
            layers.append(layer["layer"])
        ends = [p for p in told if p.epoch_end and p.pretrain]
        self.assertEqual([(p.pretrain, p.epoch) for p in ends], [(name, e) for name in layers for e in range(1, 16)])
        self.assertEqual({(p.rows, p.layers) for p in ends}, {(len(X), len(layers))})
        self.assertEqual([p.epoch for p in told if p.epoch_end and p.pretrain is None], [0, 1])
        again = hone.Model.load(SOURCE)
        again.train(X[:40], y[:40], **fixed)
        self.assertNotEqual(again.to_bytes(), model.to_bytes())  # other rows
        with self.assertRaises(ValueError):
            again.train(data="t.csv", target="y", unlabelled=X)

    def test_it_may_stop(self):
        X, y = rows()
        found = hone.Model.load(SOURCE).train(X, y, epochs=50, progress=lambda p: p.epoch == 2)
        self.assertEqual(found["stop_reason"], "callback")
        told = []

        def second(trial):
            told.append(trial)
            return len(told) == 2

        space = {"search": {"lr": (1e-4, 1e-2, "log")}, "sampler": "random", "trials": 50, "jobs": 1, "epochs": 2}
        found = hone.Model.load(SOURCE).tune(X, y, folds=2, progress=second, **space)
        self.assertLess(len(found["trials"]), 50)
        self.assertEqual(found["stop_reason"], "callback")

    def test_its_exceptions_come_back(self):
        X, y = rows()
        for error in (RuntimeError("mine"), KeyboardInterrupt()):

            def fails(_, error=error):
                raise error

            model = hone.Model.load(SOURCE)
            with self.assertRaises(type(error)) as caught:
                model.train(X, y, epochs=10**9, progress=fails)
            self.assertIs(caught.exception, error)
            with self.assertRaises(type(error)):
                model.tune(X, y, search={"lr": (1e-4, 1e-2)}, folds=2, trials=10**6, sampler="random", jobs=1, progress=fails)
            self.assertEqual(model.predict(X).shape, (300, 3))  # nothing is held

    def test_the_model_at_work_is_busy(self):
        X, y = rows()
        model, other, seen = hone.Model.load(SOURCE), hone.Model.load(SOURCE), []

        def progress(_):
            seen.append(other.predict(X).shape)
            model.predict(X)

        with self.assertRaisesRegex(hone.UsageError, "at work"):
            model.train(X, y, epochs=2, progress=progress)
        self.assertEqual(seen, [(300, 3)])


class Interrupt(Case):
    """Ctrl-C in another interpreter, sent when its run folder is there: no callback wakes that one up."""

    def interrupted(self, text):
        run = self.folder / "run"
        p = subprocess.Popen(
            [sys.executable, "-c", "import sys, numpy as np, hone\n" + LONG + text, str(SOURCE), str(run)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while p.poll() is None and not any(run.glob("**/*")):
                time.sleep(0.01)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=120)
        finally:
            p.kill()
        self.assertEqual(p.returncode, 0, err)
        return out

    def test_train_goes_on_after_it(self):
        np.save(self.folder / "x.npy", rows()[0])
        np.save(self.folder / "y.npy", rows()[1])
        text = """
model, before = hone.Model.load(sys.argv[1]), None
before = model.to_bytes()
folder = sys.argv[2].rpartition("/")[0]
try:
    model.train(x=folder + "/x.npy", y=folder + "/y.npy", epochs=10**9, run_dir=sys.argv[2])
    print("ended")
except KeyboardInterrupt:
    print("interrupted", model.to_bytes() != before, model.predict(X).shape)
"""
        self.assertEqual(self.interrupted(text).split("\n")[0], "interrupted True (300, 3)")
        self.assertTrue((self.folder / "run" / "run.json").exists())
        with self.assertRaises(KeyboardInterrupt):  # it does go on: it never ends by itself

            def enough(p):
                raise KeyboardInterrupt

            hone.resume(self.folder / "run", progress=enough)

    def test_tune(self):
        text = """
model = hone.Model.load(sys.argv[1])
before = model.to_bytes()
try:
    model.tune(X, y, folds=2, trials=10**6, epochs=10**6, sampler="random", search={"lr": (1e-4, 1e-2)}, run_dir=sys.argv[2])
    print("ended")
except KeyboardInterrupt:
    print("interrupted", model.to_bytes() == before)
"""
        self.assertEqual(self.interrupted(text).split("\n")[0], "interrupted True")

    def test_in_a_handler_of_ones_own(self):
        text = """
import os, signal, threading
class Told(Exception): pass
def handler(*_): raise Told
signal.signal(signal.SIGUSR1, handler)
model = hone.Model.load(sys.argv[1])
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
try:
    model.train(X, y, epochs=10**9)
except Told:
    print("told")
"""
        r = program(LONG + text, SOURCE)
        self.assertEqual((r.returncode, r.stdout), (0, "told\n"), r.stderr)


class Threads(Case):
    def train(self, model, seed, into):
        X, y = rows(seed=seed)
        model.train(X, y, epochs=5, seed=seed, val_split=0.2)
        into[seed] = model.to_bytes()

    def test_models_side_by_side_are_as_alone(self):
        alone, together = {}, {}
        for seed in range(6):
            self.train(hone.Model.load(SOURCE), seed, alone)
        threads = [threading.Thread(target=self.train, args=(hone.Model.load(SOURCE), seed, together)) for seed in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(alone, together)
        self.assertEqual(len(set(alone.values())), 6)

    def test_one_model_is_used_one_at_a_time(self):
        model, X = hone.Model.load(SOURCE), rows()[0]
        wanted, found = model.predict(X), []
        threads = [threading.Thread(target=lambda: found.extend(model.predict(X) for _ in range(20))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(found), 160)
        for f in found:
            np.testing.assert_array_equal(f, wanted)


class Leaks(Case):
    def resident(self):
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def once(self, data, X, labels):
        model = hone.Model.load(data)
        model.train(X, labels, epochs=1)
        model.predict(X)
        with contextlib.suppress(hone.DataError):
            model.train(X[:, :1], labels)

    def test_thousand_models(self):
        X, y = rows(40)
        data, labels = SOURCE.read_bytes(), np.array(["a", "b", "c"])[y]
        for _ in range(100):
            self.once(data, X, labels)
        gc.collect()
        tracemalloc.start()
        python, memory = tracemalloc.get_traced_memory()[0], self.resident()
        for _ in range(1000):
            self.once(data, X, labels)
        gc.collect()
        more = tracemalloc.get_traced_memory()[0] - python
        tracemalloc.stop()
        self.assertLess(more, 200_000)  # 200 bytes a round would be more
        self.assertLess(self.resident() - memory, 40_000_000)  # the file alone, kept, would be 4 MB; its arena more than 40


if __name__ == "__main__":
    main()
