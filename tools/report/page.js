/* SPDX-License-Identifier: MIT
 *
 * The charts of a report, drawn as SVG from the tree in the page, and the table that sorts. Loads nothing, stores nothing.
 *
 * A scale maps a value to 0 … 1 and knows its ticks; a chart draws itself for a width and is drawn again when that changes.
 * Text goes in as textContent only. */
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var tip = document.getElementById("tip");
  var charts = [];

  /* ---- pieces -------------------------------------------------------------------------------------------------------- */

  function node(parent, name, attrs, text) {
    var e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (var k in attrs) e.setAttribute(k, attrs[k]);
    if (text !== undefined) e.textContent = text;
    return parent.appendChild(e);
  }
  function html(parent, name, cls, text) {
    var e = document.createElement(name);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return parent.appendChild(e);
  }
  function isNumber(v) { return typeof v === "number" && isFinite(v); }
  function format(v) {
    if (v === null || v === undefined) return "–";
    if (typeof v !== "number") return String(v);
    var a = Math.abs(v);
    if (a && (a < 1e-3 || a >= 1e5)) return v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e").replace(/-/g, "−");
    return String(+v.toPrecision(4)).replace("-", "−");
  }
  function quantile(sorted, q) { return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]; }
  function increasing(a, b) { return a - b; }

  function showTip(event, text) {
    tip.textContent = text;
    tip.hidden = false;
    var w = tip.offsetWidth, h = tip.offsetHeight;
    var x = event.clientX + 16, y = event.clientY + 16;
    if (x + w > innerWidth - 8) x = Math.max(8, event.clientX - w - 16);
    if (y + h > innerHeight - 8) y = Math.max(8, event.clientY - h - 16);
    tip.style.left = x + "px";
    tip.style.top = y + "px";
  }
  function hideTip() { tip.hidden = true; }

  /* ---- scales -------------------------------------------------------------------------------------------------------- */

  function linear(a, b) {
    if (!(b > a)) { a -= Math.abs(a) / 10 || 0.5; b += Math.abs(b) / 10 || 0.5; }
    return {
      at: function (v) { return (v - a) / (b - a); },
      ticks: function (n) {
        var raw = (b - a) / Math.max(1, n), step = Math.pow(10, Math.floor(Math.log10(raw))), list = [];
        step *= raw / step > 5 ? 10 : raw / step > 2 ? 5 : raw / step > 1 ? 2 : 1;
        for (var i = Math.ceil(a / step - 1e-9); i * step <= b + step * 1e-9; i++) list.push([i * step, format(+(i * step).toPrecision(12))]);
        return list;
      }
    };
  }
  function whole(a, b) {
    var s = linear(a, b), ticks = s.ticks;
    s.ticks = function (n) { return ticks(n).filter(function (t) { return Math.abs(t[0] - Math.round(t[0])) < 1e-9; }); };
    return s;
  }
  function logarithmic(a, b) {
    if (!(b > a)) { a /= 2; b *= 2; }
    var la = Math.log(a), lb = Math.log(b);
    return {
      at: function (v) { return (Math.log(v) - la) / (lb - la); },
      ticks: function (n) {
        var decades = (lb - la) / Math.LN10, list = [];
        if (decades < 0.7) return linear(a, b).ticks(n);
        var every = Math.ceil(decades / Math.max(1, n)), steps = decades < n / 2 ? [1, 2, 5] : [1];
        for (var d = Math.floor(la / Math.LN10); d <= lb / Math.LN10 + 1e-9; d++)
          steps.forEach(function (s) {
            var v = s * Math.pow(10, d);
            if (d % every === 0 && v >= a * (1 - 1e-9) && v <= b * (1 + 1e-9)) list.push([v, format(v)]);
          });
        return list;
      }
    };
  }
  function choices(list) {
    var keys = list.map(function (v) { return JSON.stringify(v); });
    return {
      width: 1 / keys.length,
      at: function (v) { return (keys.indexOf(JSON.stringify(v)) + 0.5) / keys.length; },
      ticks: function () { return list.map(function (v) { return [v, format(v)]; }); }
    };
  }
  /* The range that shows what matters: a few values far off do not squeeze all the others. worse: +1 when large is worse. */
  function range(values, worse, all) {
    var v = values.filter(isNumber).sort(increasing), n = v.length;
    if (!n) return { low: 0, high: 1, cut: false };
    var low = v[0], high = v[n - 1];
    if (!all && n > 4) {
      var far = worse > 0 ? low + 3 * (quantile(v, 0.75) - low) : high - 3 * (high - quantile(v, 0.25));
      if (worse > 0 && far > low && far < high - (far - low) / 2) return { low: low, high: far, cut: true };
      if (worse < 0 && far < high && far > low + (high - far) / 2) return { low: far, high: high, cut: true };
    }
    return { low: low, high: high, cut: false };
  }
  function padded(r, log) {
    if (log && r.low > 0) {
      var f = Math.pow(r.high / r.low, 0.05);
      return logarithmic(r.low / f, r.high * f);
    }
    var pad = (r.high - r.low) * 0.05;
    return linear(r.low - pad, r.high + pad);
  }

  /* ---- a chart ------------------------------------------------------------------------------------------------------- */

  /* draw(svg, box): box {x, y, w, h} is the plot inside its margins. */
  function chart(host, o, draw) {
    var c = { host: host, width: 0 };
    c.draw = function () {
      var w = Math.max(240, host.clientWidth), h = typeof o.height === "function" ? o.height(w) : o.height;
      c.width = host.clientWidth;
      if (c.svg) c.svg.remove();
      var svg = c.svg = node(host, "svg", { viewBox: "0 0 " + w + " " + h, role: "img", "aria-label": o.title });
      var box = { x: o.left === undefined ? 52 : o.left, y: o.top || 8 };
      box.w = w - box.x - (o.right === undefined ? 10 : o.right);
      box.h = h - box.y - (o.bottom === undefined ? 36 : o.bottom);
      draw(svg, box);
    };
    charts.push(c);
    c.draw();
    return c;
  }
  function axes(svg, box, xs, ys, xlabel) {
    ys.ticks(Math.max(2, Math.round(box.h / 55))).forEach(function (t) {
      var y = box.y + box.h * (1 - ys.at(t[0]));
      node(svg, "line", { "class": "rule", x1: box.x, x2: box.x + box.w, y1: y, y2: y });
      node(svg, "text", { x: box.x - 6, y: y + 4, "text-anchor": "end" }, t[1]);
    });
    xTicks(svg, box, xs);
    if (xlabel) node(svg, "text", { x: box.x + box.w, y: box.y + box.h + 32, "text-anchor": "end" }, xlabel);
  }
  function xTicks(svg, box, xs) {
    var n = Math.max(2, Math.round(box.w / 75)), last = -99;
    xs.ticks(n).forEach(function (t) {
      var x = box.x + box.w * xs.at(t[0]), half = String(t[1]).length * 3.4;
      node(svg, "line", { "class": "rule", x1: x, x2: x, y1: box.y + box.h, y2: box.y + box.h + 4 });
      if (x - half < last + 4) return;
      last = x + half;
      node(svg, "text", { x: x, y: box.y + box.h + 17, "text-anchor": "middle" }, t[1]);
    });
  }
  var clips = 0;
  function clipped(svg, box) {
    var id = "clip" + ++clips;
    node(node(svg, "clipPath", { id: id }), "rect", { x: box.x, y: box.y - 1, width: box.w, height: box.h + 2 });
    return node(svg, "g", { "clip-path": "url(#" + id + ")" });
  }
  function path(points) {
    var d = "", pen = false;
    points.forEach(function (p) {
      if (!p || !isFinite(p[0]) || !isFinite(p[1])) { pen = false; return; }
      d += (pen ? "L" : "M") + p[0].toFixed(1) + " " + p[1].toFixed(1);
      pen = true;
    });
    return d;
  }
  function tick(controls, text, checked, change) {
    var label = html(controls, "label"), box = html(label, "input");
    box.type = "checkbox";
    box.checked = checked;
    label.appendChild(document.createTextNode(" " + text));
    box.addEventListener("change", function () { change(box.checked); });
  }

  /* ---- the curves of one run ------------------------------------------------------------------------------------------ */

  function trainPage() {
    var host = document.querySelector("#curves .plot");
    if (!host) return;
    var m = data.metrics, hands = [], state = { log: false, all: false };
    function column(name) {
      var i = m.columns.indexOf(name);
      return i < 0 ? null : m.rows.map(function (r) { return r[i]; });
    }
    var epoch = column("epoch"), best = data.status ? data.status.best_epoch : null;
    var stopped = data.status && data.status.state !== "running" ? data.status.stop_reason : null;
    var names = [];
    m.columns.forEach(function (c) {
      var base = c.replace(/^(train|val)_/, "");
      if (base !== c && names.indexOf(base) < 0) names.push(base);
    });
    function readout(i) {
      var lines = ["Epoch " + epoch[i] + (epoch[i] === best ? " (best)" : "")];
      m.columns.forEach(function (c, k) { if (c !== "epoch" && c !== "seconds") lines.push(c + "  " + format(m.rows[i][k])); });
      return lines.join("\n");
    }
    function series(name) {
      return [["train", "training"], ["val", "validation"]].map(function (s) {
        return { cls: s[0], title: s[1], y: column(s[0] + "_" + name) };
      }).filter(function (s) { return s.y && s.y.some(isNumber); });
    }
    function one(parent, title, list, o) {
      var figure = html(parent, "div"), head = html(figure, "h3", "", title + " ");
      if (list.length > 1 || list[0].title)
        list.forEach(function (s) { var b = html(head, "span", "", " — " + s.title); b.style.color = "var(--" + s.cls + ")"; });
      chart(figure, { title: title + " by epoch", height: o.height, left: 56 }, function (svg, box) {
        var values = [].concat.apply([], list.map(function (s) { return s.y; })), log = o.log();
        var r = range(values, o.worse, log || state.all || !o.worse), ys = padded(r, log), xs = whole(epoch[0], epoch[epoch.length - 1]);
        axes(svg, box, xs, ys, "epoch");
        function x(i) { return box.x + box.w * xs.at(epoch[i]); }
        function y(v) { return isNumber(v) && (!log || v > 0) ? box.y + box.h * (1 - ys.at(v)) : NaN; }
        marks(svg, box, xs, title === "Loss");
        var g = clipped(svg, box);
        list.forEach(function (s) {
          node(g, "path", { "class": "curve " + s.cls, d: path(s.y.map(function (v, i) { return [x(i), y(v)]; })) });
        });
        bestDot(g, list, x, y);
        var far = Math[o.worse > 0 ? "max" : "min"].apply(null, values.filter(isNumber));
        if (r.cut) node(svg, "text", { x: box.x + 14, y: box.y + (o.worse > 0 ? 12 : box.h - 6) },
          (o.worse > 0 ? "↑ up to " : "↓ down to ") + format(far) + ", off the scale");
        hover(svg, box, x);
      });
    }
    function marks(svg, box, xs, labels) {
      if (best === null) return;
      var bx = box.x + box.w * xs.at(best), end = epoch[epoch.length - 1], right = xs.at(best) > 0.7;
      if (!(bx >= box.x && bx <= box.x + box.w)) return;
      node(svg, "line", { "class": "mark", x1: bx, x2: bx, y1: box.y, y2: box.y + box.h });
      if (labels) node(svg, "text", { "class": "bestline", x: bx + (right ? -5 : 5), y: box.y + box.h - 6, "text-anchor": right ? "end" : "start" }, "best: epoch " + best);
      if (stopped && stopped !== "max_epochs" && end !== best) {
        var ex = box.x + box.w * xs.at(end);
        node(svg, "line", { "class": "base", x1: ex, x2: ex, y1: box.y, y2: box.y + box.h });
        if (labels) node(svg, "text", { x: ex - 5, y: box.y + (box.w < 420 ? 28 : 12), "text-anchor": "end" }, "stopped: " + stopped);
      }
    }
    function bestDot(g, list, x, y) {
      var i = epoch.indexOf(best), s = list[list.length - 1];
      if (i >= 0 && s.cls === "val" && isFinite(y(s.y[i]))) node(g, "circle", { "class": "best", cx: x(i), cy: y(s.y[i]), r: 3.5 });
    }
    function hover(svg, box, x) {
      var hand = node(svg, "line", { "class": "hand", y1: box.y, y2: box.y + box.h, visibility: "hidden" });
      var area = node(svg, "rect", { x: box.x, y: box.y, width: box.w, height: box.h, fill: "none", "pointer-events": "all" });
      hands.push(function (i) {
        hand.setAttribute("visibility", i === null ? "hidden" : "visible");
        if (i !== null) { hand.setAttribute("x1", x(i)); hand.setAttribute("x2", x(i)); }
      });
      area.addEventListener("pointermove", function (e) {
        var r = svg.getBoundingClientRect(), at = (e.clientX - r.left) * svg.viewBox.baseVal.width / r.width, near = 0;
        epoch.forEach(function (_, i) { if (Math.abs(x(i) - at) < Math.abs(x(near) - at)) near = i; });
        hands.forEach(function (h) { h(near); });
        showTip(e, readout(near));
      });
      area.addEventListener("pointerleave", function () { hideTip(); hands.forEach(function (h) { h(null); }); });
    }
    var controls = html(host, "div", "controls");
    tick(controls, "logarithmic loss", false, function (on) { state.log = on; redraw(true); });
    tick(controls, "all values", false, function (on) { state.all = on; redraw(true); });
    names.forEach(function (name) {
      if (name === "loss" && series(name).length)
        one(host, "Loss", series(name), { height: function (w) { return w < 520 ? 260 : 340; }, worse: 1, log: function () { return state.log; } });
    });
    var half = html(host, "div", "half");
    names.forEach(function (name) {
      var better = ["accuracy", "f1", "auc", "r2"].indexOf(name) >= 0;
      if (name !== "loss" && series(name).length) one(half, name, series(name), { height: 210, worse: better ? -1 : 1, log: function () { return false; } });
    });
    var lr = column("lr");
    if (lr && lr.some(isNumber)) {
      var known = lr.filter(function (v) { return v > 0; }), wide = Math.max.apply(null, known) > 50 * Math.min.apply(null, known);
      one(half, wide ? "Learning rate (logarithmic)" : "Learning rate", [{ cls: "val", title: "", y: lr }], { height: 210, worse: 0, log: function () { return wide; } });
    }
  }

  /* ---- a learning rate range test ------------------------------------------------------------------------------------- */

  function rangePage() {
    var host = document.querySelector("#range .plot"), p = data.points, all = false;
    if (!host || p.length < 2) return;
    var says = data.suggestions || {};
    tick(html(host, "div", "controls"), "all losses", false, function (on) { all = on; redraw(true); });
    chart(host, { title: "loss by learning rate", height: function (w) { return w < 520 ? 260 : 340; }, left: 56 }, function (svg, box) {
      var r = all ? range(p.map(function (q) { return q.loss; }), 0, true) : { low: data.shown[0], high: data.shown[1] };
      var ys = padded(r, false), xs = logarithmic(p[0].lr, p[p.length - 1].lr), g;
      function x(lr) { return box.x + box.w * xs.at(lr); }
      function y(v) { return box.y + box.h * (1 - ys.at(v)); }
      axes(svg, box, xs, ys, "learning rate");
      var marks = [["valley", says.valley, "base", 40], ["steepest", says.steepest, "base", 26], ["suggested", data.suggestion, "mark", 12]].filter(function (m) { return isNumber(m[1]); });
      marks.forEach(function (m) { node(svg, "line", { "class": m[2], x1: x(m[1]), x2: x(m[1]), y1: box.y, y2: box.y + box.h }); });
      marks.forEach(function (m) {
        var left = xs.at(m[1]) > (m[0] === "valley" ? 0.25 : 0.85);
        node(svg, "text", { "class": "over", x: x(m[1]) + (left ? -5 : 5), y: box.y + m[3], "text-anchor": left ? "end" : "start" }, m[0] + ": " + format(m[1]));
      });
      g = clipped(svg, box);
      p.forEach(function (q) { node(g, "circle", { "class": "step", cx: x(q.lr), cy: y(q.loss), r: 2 }); });
      node(g, "path", { "class": "curve val", d: path(p.map(function (q) { return [x(q.lr), y(q.smoothed)]; })) });
      var area = node(svg, "rect", { x: box.x, y: box.y, width: box.w, height: box.h, fill: "none", "pointer-events": "all" });
      area.addEventListener("pointermove", function (e) {
        var b = svg.getBoundingClientRect(), at = (e.clientX - b.left) * svg.viewBox.baseVal.width / b.width, near = p[0];
        p.forEach(function (q) { if (Math.abs(x(q.lr) - at) < Math.abs(x(near.lr) - at)) near = q; });
        showTip(e, "rate  " + format(near.lr) + "\nloss  " + format(near.loss) + "\nsmoothed  " + format(near.smoothed));
      });
      area.addEventListener("pointerleave", hideTip);
    });
  }

  /* ---- a search ------------------------------------------------------------------------------------------------------ */

  function tunePage() {
    var study = data.study, trials = study.trials || [], sign = study.direction === "maximize" ? -1 : 1;
    var byNumber = {}, state = { log: false, all: false }, pinned = null, names = [];
    var done = trials.filter(function (t) { byNumber[t.number] = t; return t.state === "done" && isNumber(t.value); });
    var ranked = done.slice().sort(function (a, b) { return sign * (b.value - a.value); });
    ranked.forEach(function (t, i) { t.q = "q" + Math.min(8, Math.floor(9 * i / Math.max(1, ranked.length - 1))); });
    var winner = byNumber[study.best_trial];
    if (winner && winner.q) { winner.q = "best"; ranked.sort(function (a, b) { return (a === winner) - (b === winner); }); }
    var imported = study.baseline && study.baseline.imported ? study.baseline.imported.value : null;
    trials.forEach(function (t) {
      t.params = t.params || {};
      Object.keys(t.params).forEach(function (k) { if (names.indexOf(k) < 0) names.push(k); });
    });
    if (study.space) names = Object.keys(study.space);

    function values() { return done.map(function (t) { return t.value; }); }
    function valueScale(pad) {
      var r = range(values(), sign, state.all || state.log);
      if (isNumber(imported) && (state.all || state.log)) { r.low = Math.min(r.low, imported); r.high = Math.max(r.high, imported); }
      var s = pad ? padded(r, state.log) : state.log && r.low > 0 ? logarithmic(r.low, r.high) : linear(r.low, r.high);
      s.cut = r.cut;
      return s;
    }
    function parameterScale(name) {
      var d = study.space && study.space[name], used = [];
      trials.forEach(function (t) { if (t.params[name] !== undefined && used.indexOf(t.params[name]) < 0) used.push(t.params[name]); });
      if (d && d.choices) return choices(d.choices);
      if (!used.every(isNumber)) return choices(used);
      var low = Math.min.apply(null, used), high = Math.max.apply(null, used);
      if (d && d.log) return logarithmic(d.low, d.high); // a default outside it stands at the end
      if (d && isNumber(d.low)) { low = Math.min(low, d.low); high = Math.max(high, d.high); }
      return linear(low, high);
    }
    function clamp(u) { return u >= 0 ? Math.min(1, u) : 0; }
    function jitter(t, scale) { return scale.width ? (t.number * 0.618034 % 1 - 0.5) * scale.width * 0.5 : 0; }
    function describe(t) {
      var lines = ["Trial " + t.number + (t === winner ? " (best)" : "") + ": " +
        (isNumber(t.value) ? format(t.value) + (t.std > 0 ? " ± " + format(+t.std.toPrecision(2)) : "") : t.state)];
      names.forEach(function (n) { if (t.params[n] !== undefined) lines.push(n + " = " + format(t.params[n])); });
      if (t.epochs) lines.push(t.epochs + " epochs, " + format(+(t.seconds || 0).toPrecision(3)) + " s");
      if (t.why) lines.push(t.why);
      return lines.join("\n");
    }

    /* One trial picked out everywhere: copies on top of the charts, a shade in the table. */
    function pick(number) {
      document.querySelectorAll(".copy").forEach(function (e) { e.remove(); });
      document.querySelectorAll("tr.on").forEach(function (e) { e.classList.remove("on"); });
      if (number === null) return;
      document.querySelectorAll('[data-t="' + number + '"]').forEach(function (e) {
        if (e.tagName === "TR") { e.classList.add("on"); return; }
        var copy = e.cloneNode(false);
        copy.removeAttribute("data-t");
        copy.setAttribute("class", "copy on " + (e.tagName === "path" ? "q" : ""));
        copy.setAttribute("pointer-events", "none");
        e.parentNode.appendChild(copy);
      });
    }
    function follow(svg, box, nearest) {
      var area = node(svg, "rect", { x: box.x - 8, y: box.y - 8, width: box.w + 16, height: box.h + 16, fill: "none", "pointer-events": "all" });
      area.addEventListener("pointermove", function (e) {
        var r = svg.getBoundingClientRect(), f = svg.viewBox.baseVal.width / r.width;
        var t = nearest((e.clientX - r.left) * f, (e.clientY - r.top) * f);
        pick(t ? t.number : pinned);
        if (t) showTip(e, describe(t)); else hideTip();
      });
      area.addEventListener("pointerleave", function () { hideTip(); pick(pinned); });
      area.addEventListener("click", function (e) {
        var r = svg.getBoundingClientRect(), f = svg.viewBox.baseVal.width / r.width;
        var t = nearest((e.clientX - r.left) * f, (e.clientY - r.top) * f);
        pinned = t && t.number !== pinned ? t.number : null;
        pick(pinned);
      });
    }
    function nearestPoint(points, reach) {
      return function (x, y) {
        var best = null, d = reach * reach;
        points.forEach(function (p) {
          var q = (p.x - x) * (p.x - x) + (p.y - y) * (p.y - y);
          if (q < d) { d = q; best = p.t; }
        });
        return best;
      };
    }
    function mark(g, t, x, y, off, points) {
      if (off) node(g, "path", { "class": "q " + t.q, "data-t": t.number, d: "M" + (x - 4) + " " + (y + off * 5) + "L" + x + " " + y + "L" + (x + 4) + " " + (y + off * 5) });
      else node(g, "circle", { "class": "dot " + t.q, "data-t": t.number, cx: x.toFixed(1), cy: y.toFixed(1), r: t === winner ? 4.5 : 3.2 });
      points.push({ t: t, x: x, y: y });
    }
    function place(box, u) { return u > 1 ? { y: box.y, off: 1 } : u < 0 ? { y: box.y + box.h, off: -1 } : { y: box.y + box.h * (1 - u), off: 0 }; }

    function history(host) {
      var others = ["pruned", "failed", "running", "waiting"].filter(function (s) { return trials.some(function (t) { return t.state === s; }); });
      chart(host, { title: "Value of each trial, and the best so far", height: function (w) { return (w < 520 ? 260 : 340) + 18 * others.length; }, left: 60, bottom: 36 + 18 * others.length }, function (svg, box) {
        var ys = valueScale(true), last = Math.max(1, trials.length - 1), xs = whole(-last * 0.01, last * 1.01), points = [];
        var floor = { x: box.x, y: box.y, w: box.w, h: box.h + 18 * others.length };
        axes(svg, box, { at: xs.at, ticks: function () { return []; } }, ys);
        xTicks(svg, floor, xs);
        node(svg, "text", { x: box.x + box.w, y: floor.y + floor.h + 32, "text-anchor": "end" }, "trial");
        function x(n) { return box.x + box.w * xs.at(n); }
        baseline(svg, box, ys);
        var line = [], best = null;
        trials.forEach(function (t) {
          if (!t.q || (best !== null && sign * (t.value - best) >= 0)) return;
          var y = place(box, ys.at(t.value)).y;
          if (best !== null) line.push([x(t.number), place(box, ys.at(best)).y]);
          line.push([x(t.number), y]);
          best = t.value;
        });
        if (best !== null) line.push([x(trials.length - 1), place(box, ys.at(best)).y]);
        node(svg, "path", { "class": "curve bestline", d: path(line) });
        ranked.forEach(function (t) { var p = place(box, ys.at(t.value)); mark(svg, t, x(t.number), p.y, p.off, points); });
        others.forEach(function (s, i) {
          var y = box.y + box.h + 14 + 18 * i;
          node(svg, "text", { x: box.x - 6, y: y + 4, "text-anchor": "end" }, s);
          trials.forEach(function (t) {
            if (t.state !== s) return;
            var tx = x(t.number);
            if (s === "failed") node(svg, "path", { "class": "cross", "data-t": t.number, d: "M" + (tx - 3) + " " + (y - 3) + "l6 6m0 -6l-6 6" });
            else node(svg, "circle", { "class": "hollow", "data-t": t.number, cx: tx, cy: y, r: 3 });
            points.push({ t: t, x: tx, y: y });
          });
        });
        follow(svg, floor, nearestPoint(points, 24));
      });
    }
    function baseline(svg, box, ys) {
      if (!isNumber(imported)) return;
      var u = ys.at(imported), text = "imported model " + format(imported);
      if (u >= 0 && u <= 1) {
        var y = box.y + box.h * (1 - u);
        node(svg, "line", { "class": "base", x1: box.x, x2: box.x + box.w, y1: y, y2: y });
        node(svg, "text", { x: box.x + box.w, y: y + (u > 0.9 ? 14 : -5), "text-anchor": "end" }, text);
      } else {
        node(svg, "text", { x: box.x + box.w, y: u > 1 || isNaN(u) ? box.y + 12 : box.y + box.h - 6, "text-anchor": "end" }, text + (u > 1 ? " ↑" : " ↓") + " off the scale");
      }
    }

    function parallel(host) {
      var list = names.map(function (n) { return { name: n, scale: null }; });
      list.push({ name: study.monitor || "value", value: true });
      var gaps = names.some(function (n) { return done.some(function (t) { return t.params[n] === undefined; }); });
      function upright(w) { return w >= 110 * list.length || w >= 700; }
      chart(host, {
        title: "Settings of every trial and the value it reached", left: 0, right: 0, top: 8, bottom: 8,
        height: function (w) { return upright(w) ? 370 + (gaps ? 34 : 0) : 92 * list.length + 8; }
      }, function (svg, box) {
        var up = upright(box.w), n = list.length, ends = up ? 46 : 34, last = up ? 70 : 34;
        var a = { x: up ? ends : 14, y: up ? 40 : 40 };
        var across = up ? box.w - ends - last : box.h - 40 - 36, along = up ? box.h - 52 - (gaps ? 34 : 0) : box.w - 28 - 14;
        function spot(i, u) {
          var c = n > 1 ? across * i / (n - 1) : across / 2;
          return up ? [a.x + c, a.y + along * (1 - u)] : [a.x + 14 + along * u, a.y + c];
        }
        list.forEach(function (axis, i) {
          axis.scale = axis.value ? valueScale(false) : parameterScale(axis.name);
          axis.gap = !axis.value && trials.some(function (t) { return t.q && t.params[axis.name] === undefined; });
        });
        function unit(axis, t) {
          var v = axis.value ? t.value : t.params[axis.name];
          if (v === undefined) return -0.09;
          return clamp(axis.scale.at(v) + jitter(t, axis.scale));
        }
        ranked.forEach(function (t) {
          t.way = list.map(function (axis, i) { return spot(i, unit(axis, t)); });
          node(svg, "path", { "class": "q " + t.q + (done.length > 150 ? " many" : ""), "data-t": t.number, d: path(t.way) });
        });
        list.forEach(function (axis, i) { drawAxis(svg, axis, i, up, spot, box); });
        follow(svg, box, function (x, y) {
          var best = null, d = 12;
          ranked.forEach(function (t) {
            for (var i = 1; i < n; i++) {
              var p = t.way[i - 1], q = t.way[i], f = up ? (x - p[0]) / (q[0] - p[0]) : (y - p[1]) / (q[1] - p[1]);
              if (f < 0 || f > 1) continue;
              var off = up ? Math.abs(p[1] + f * (q[1] - p[1]) - y) : Math.abs(p[0] + f * (q[0] - p[0]) - x);
              if (off < d) { d = off; best = t; }
            }
          });
          return best;
        });
      });
    }
    function drawAxis(svg, axis, i, up, spot, box) {
      var p = spot(i, 0), q = spot(i, 1), title = axis.name, room = up ? box.w / names.length / 7 : 60;
      node(svg, "line", { "class": "hand", x1: p[0], y1: p[1], x2: q[0], y2: q[1] });
      if (title.length > room) title = title.slice(0, Math.max(3, room - 1)) + "…";
      var label = up ? halo(svg, i ? q[0] : 0, q[1] - 18 - (i % 2 && names.length > 7 ? 13 : 0), i ? "middle" : "start", title) : halo(svg, 2, q[1] - 9, "start", title);
      label.setAttribute("class", "label");
      node(label, "title", {}, axis.name);
      axis.scale.ticks(up ? 6 : 5).forEach(function (t) {
        var s = spot(i, axis.scale.at(t[0])), text = String(t[1]);
        if (text.length > 12) text = text.slice(0, 11) + "…";
        if (up) halo(svg, s[0] + 5, s[1] + 4, "start", text);
        else halo(svg, s[0], s[1] + 15, "middle", text);
      });
      if (axis.gap) { var g = spot(i, -0.09); halo(svg, g[0] + (up ? 5 : 0), g[1] + (up ? 4 : 15), up ? "start" : "middle", "–"); }
    }
    function halo(svg, x, y, anchor, text) {
      var w = text.length * 6.9 + 4;
      node(svg, "rect", { "class": "behind", x: anchor === "start" ? x - 2 : x - w / 2, y: y - 11, width: w, height: 14, rx: 2 });
      return node(svg, "text", { x: x, y: y, "text-anchor": anchor }, text);
    }

    function slices(host) {
      var grid = html(host, "div", "grid");
      names.forEach(function (name) {
        var figure = html(grid, "div");
        html(figure, "h3", "", name + (study.space && study.space[name] && study.space[name].log ? " (logarithmic)" : ""));
        chart(figure, { title: "Value over " + name, height: 200, bottom: 24 }, function (svg, box) {
          var xs = parameterScale(name), ys = valueScale(true), points = [];
          axes(svg, box, xs, ys);
          ranked.forEach(function (t) {
            if (t.params[name] === undefined) return;
            var p = place(box, ys.at(t.value));
            mark(svg, t, box.x + box.w * clamp(xs.at(t.params[name]) + jitter(t, xs)), p.y, p.off, points);
          });
          follow(svg, box, nearestPoint(points, 18));
        });
      });
    }

    function trialCurves(host) {
      var all = [], longest = 1;
      trials.forEach(function (t) { if (t.curve && t.curve.length) { all = all.concat(t.curve); longest = Math.max(longest, t.curve.length); } });
      chart(host, { title: "Learning curves of the trials", height: function (w) { return w < 520 ? 260 : 340; }, left: 60 }, function (svg, box) {
        var ys = padded(range(all, sign, state.all || state.log), state.log), xs = whole(1, Math.max(2, longest)), ways = [];
        axes(svg, box, xs, ys, "epoch");
        var g = clipped(svg, box);
        trials.filter(function (t) { return !t.q; }).concat(ranked).forEach(function (t) {
          if (!t.curve || !t.curve.length) return;
          var way = t.curve.map(function (v, i) { return isNumber(v) ? [box.x + box.w * xs.at(i + 1), box.y + box.h * (1 - ys.at(v))] : null; });
          node(g, "path", { "class": "q " + (t.q || "q0"), "data-t": t.number, d: path(way) });
          if (!t.q && way[way.length - 1]) node(g, "circle", { "class": "hollow", cx: way[way.length - 1][0], cy: way[way.length - 1][1], r: 2.5 });
          ways.push({ t: t, way: way });
        });
        follow(svg, box, function (x, y) {
          var i = Math.round((x - box.x) / box.w * (Math.max(2, longest) - 1)), best = null, d = 14;
          ways.forEach(function (w) {
            var p = w.way[i];
            if (p && Math.abs(p[1] - y) < d) { d = Math.abs(p[1] - y); best = w.t; }
          });
          return best;
        });
      });
    }

    function table() {
      var body = document.querySelector(".trials tbody"), heads = document.querySelectorAll(".trials th[data-key]");
      var rows = Array.prototype.slice.call(body.rows);
      rows.forEach(function (row) {
        var number = +row.dataset.t;
        row.addEventListener("pointerenter", function () { pick(number); });
        row.addEventListener("pointerleave", function () { pick(pinned); });
        row.addEventListener("click", function () { pinned = pinned === number ? null : number; pick(pinned); });
      });
      heads.forEach(function (th) {
        th.firstChild.addEventListener("click", function () {
          var key = th.dataset.key, up = th.getAttribute("aria-sort") !== "ascending";
          function of(row) {
            var t = byNumber[+row.dataset.t];
            return key.indexOf("params.") === 0 ? t.params[key.slice(7)] : t[key];
          }
          heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
          th.setAttribute("aria-sort", up ? "ascending" : "descending");
          rows.sort(function (a, b) {
            var x = of(a), y = of(b), nx = x === null || x === undefined, ny = y === null || y === undefined;
            if (nx || ny) return nx - ny || a.dataset.t - b.dataset.t;
            var d = x < y ? -1 : x > y ? 1 : 0;
            return (up ? d : -d) || a.dataset.t - b.dataset.t;
          });
          rows.forEach(function (r) { body.appendChild(r); });
        });
      });
    }

    var plots = { history: history, parallel: parallel, slices: slices, trialcurves: trialCurves }, first = true;
    Object.keys(plots).forEach(function (id) {
      var host = document.querySelector("#" + id + " .plot");
      if (!host || (!done.length && id !== "history")) return;
      if (first) {
        first = false;
        var controls = html(host, "div", "controls");
        tick(controls, "logarithmic value", false, function (on) { state.log = on; redraw(true); });
        tick(controls, "all values", false, function (on) { state.all = on; redraw(true); });
      }
      plots[id](host);
    });
    if (document.querySelector(".trials")) table();
  }

  function redraw(all) {
    charts.forEach(function (c) { if (all || Math.abs(c.host.clientWidth - c.width) > 2) c.draw(); });
  }

  document.querySelectorAll("noscript").forEach(function (e) { e.remove(); });
  if (data.kind === "tune") tunePage();
  else if (data.kind === "lr-find") rangePage();
  else trainPage();
  addEventListener("resize", function () { redraw(false); });
})();
