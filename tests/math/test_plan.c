/* SPDX-License-Identifier: MIT
 *
 * Plans: random programs give the same bits with the planner's shared, poisoned memory as with a place of its own for
 * every buffer; gradients of whole programs against central differences; liveness, in-place, ties, views, budgets, and
 * a clean refusal at every failed allocation. */
#include "tests/fault.h"
#include "tests/math/build.h"
#include <math.h>

static const struct hn_dense dense = { 1, 1, 0 };
static const struct hn_unary relu = { HN_U_RELU, 0, 0 }, tanh_ = { HN_U_TANH, 0, 0 },
                             gelu = { HN_U_GELU, 0, 0 }, neg = { HN_U_NEG, 0, 0 };
static const struct hn_binary add = { HN_B_ADD }, mul = { HN_B_MUL };
static const struct hn_batchnorm bn = { 1e-5, 0.9, 0, 0 };
static const struct hn_layernorm ln = { 1e-5, 1 };
static const struct hn_dropout drop = { 0.3, HN_STREAM_DROPOUT + 1, 0 };
static const struct hn_loss mse = { .weight = 1 };

/* ---- random programs ------------------------------------------------------------------------------------------- */

enum { WIDTH = 6, MAX_ROWS = 9 };

static int pick(uint64_t *s, int n) { return (int)((tb_random(s) + 1) / 2 * n); }

static int random_op(struct tb *t, uint64_t *s, const int *pool, int n)
{
    int a = pool[pick(s, n)], b = pool[pick(s, n)], w;
    const struct hn_unary *const unary[] = { &relu, &tanh_, &gelu, &neg };
    switch (pick(s, 9)) {
    case 0:
    case 1: return tb_op(t, &hn_op_unary, unary[pick(s, 4)], 1, &a);
    case 2: return tb_op(t, &hn_op_binary, pick(s, 2) ? &add : &mul, 2, (int[]){ a, b });
    case 3: return tb_op(t, &hn_op_dropout, &drop, 1, &a);
    case 4:
        w = tb_param(t, tb_shape(1, WIDTH), pick(s, 2));
        return tb_ops(t, &hn_op_batchnorm, &bn, 5,
                      (int[]){ a, w, tb_param(t, tb_shape(1, WIDTH), 1),
                               tb_state(t, tb_shape(1, WIDTH)), tb_state(t, tb_shape(1, WIDTH)) },
                      1);
    case 5:
        return tb_op(t, &hn_op_layernorm, &ln, 2, (int[]){ a, tb_param(t, tb_shape(1, WIDTH), 1) });
    case 6: {
        static const struct hn_concat join = { 1 };
        static const struct hn_slice half = { 1, 0, WIDTH, 2 };
        int c = tb_op(t, &hn_op_concat, &join, 2, (int[]){ a, b });
        return tb_op(t, &hn_op_slice, &half, 1, &c);
    }
    case 7: { /* through a view of another shape and back */
        int v = tb_view(t, a, tb_shape(3, TB_N, 2, WIDTH / 2)),
            u = tb_op(t, &hn_op_unary, &tanh_, 1, &v);
        return tb_view(t, u, tb_shape(2, TB_N, WIDTH));
    }
    default:
        w = tb_param(t, tb_shape(2, WIDTH, WIDTH), pick(s, 4) != 0);
        return tb_op(t, &hn_op_dense, &dense, 3,
                     (int[]){ a, w, tb_param(t, tb_shape(1, WIDTH), 1) });
    }
}

static void random_program(struct tb *t, uint64_t seed)
{
    int pool[64], n = 0, n_ops = 3 + pick(&seed, 14);
    tb_init(t);
    pool[n++] = tb_input(t, tb_shape(2, TB_N, WIDTH));
    if (pick(&seed, 2)) pool[n++] = tb_input(t, tb_shape(2, TB_N, WIDTH));
    for (int i = 0; i < n_ops; i++) pool[n] = random_op(t, &seed, pool, n), n++;
    for (int i = 0; i < 1 + pick(&seed, 2); i++)
        tb_loss(t, &hn_op_loss_regression, &mse, pool[n - 1 - pick(&seed, n < 4 ? n : 4)],
                tb_target(t, tb_shape(2, TB_N, WIDTH)), -1);
    for (int i = 0; i < 2; i++) tb_output(t, pool[pick(&seed, n)]);
    tb_finish(t);
}

/* ---- running a plan on memory of our choice -------------------------------------------------------------------- */

struct world { /* everything a run reads and leaves */
    double w[2048], dw[2048], out[4][MAX_ROWS * WIDTH], partial[8];
};

/* A plan in which no two buffers share a byte: every value, gradient and saved buffer gets a place of its own. */
struct separate {
    struct hn_ref value[TB_VALUES], grad[TB_VALUES], save[TB_OPS][4];
    size_t total;
};

static int root(const struct hn_program *p, int v)
{
    while (p->values[v].view_of >= 0) v = p->values[v].view_of;
    return v;
}

static void move(struct separate *s, struct hn_ref *ref, struct hn_ref *own)
{
    if (ref->space != HN_SP_ARENA) return;
    if (own->space == HN_SP_NONE) {
        *own = (struct hn_ref){ HN_SP_ARENA, s->total };
        s->total += 8 * MAX_ROWS * WIDTH * 2;
    }
    *ref = *own;
}

static void separate_buffers(struct hn_plan *plan)
{
    static struct separate s;
    const struct hn_program *p = plan->prog;
    memset(&s, 0, sizeof s);
    for (int i = 0; i < p->n_inputs; i++) move(&s, &plan->inputs[i], &s.value[p->inputs[i]]);
    for (int i = 0; i < p->n_targets; i++) move(&s, &plan->targets[i], &s.value[p->targets[i]]);
    for (int i = 0; i < plan->n_steps; i++) {
        struct hn_step *st = &plan->steps[i];
        const struct hn_op *op = &p->ops[st->op];
        for (int k = 0; k < op->n_in; k++) {
            move(&s, &st->x[k], &s.value[root(p, op->in[k])]);
            move(&s, &st->dx[k], &s.grad[root(p, op->in[k])]);
        }
        for (int k = 0; k < op->n_out; k++) {
            move(&s, &st->y[k], &s.value[root(p, op->out[k])]);
            move(&s, &st->dy[k], &s.grad[root(p, op->out[k])]);
        }
        for (int k = 0; k < 4; k++) move(&s, &st->save[k], &s.save[st->op][k]);
    }
    for (int i = 0; i < p->n_outputs; i++)
        move(&s, &plan->outputs[i], &s.value[root(p, p->outputs[i])]);
    plan->arena_bytes = s.total + 64;
}

/* An allocator whose memory starts as NaN, so that a read of what nobody wrote is seen. */
static void *poisoned_alloc(void *user, size_t n)
{
    (void)user;
    unsigned char *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (p) memset(p, 0xff, (n + 63) / 64 * 64);
    return p;
}
static void poisoned_release(void *user, void *p)
{
    (void)user;
    free(p);
}

static void run(const struct tb *t, struct hn_plan *plan, struct world *w, int64_t rows)
{
    const struct hn_backend *be = &hn_backend_reference;
    hone_error err = { 0 };
    struct hn_mem mem;
    hn_mem_init(&mem, 0);
    mem.alloc = poisoned_alloc, mem.release = poisoned_release;
    struct hn_host host = { sizeof host, &mem, 1 };
    struct hn_hyper hyper = { .optimizer = HN_SGD, .accumulate = 1, .dropout = -1 };
    struct hn_replica r = { .key = { 7, 8 }, .hyper = &hyper };
    double data[4][MAX_ROWS * WIDTH], lr = 0.1;
    uint64_t s = 99;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < MAX_ROWS * WIDTH; k++) data[i][k] = tb_random(&s);
    struct hn_column in[2], target[2];
    for (int i = 0; i < 2; i++) {
        in[i] = (struct hn_column){ data[i], HN_F64, WIDTH, 1 };
        target[i] = (struct hn_column){ data[2 + i], HN_F64, WIDTH, 1 };
    }
    struct hn_dataset set = { MAX_ROWS, 2, 2, in, target };
    void *dev, *exec, *bound, *out[4] = { w->out[0], w->out[1], w->out[2], w->out[3] };
    r.slab[HN_SLAB_W] = w->w, r.slab[HN_SLAB_DW] = w->dw;
    HN_OK(be->open(&host, NULL, &dev, &err), err);
    HN_OK(be->bind(dev, &set, &bound, &err), err);
    HN_OK(be->prepare(dev, plan, 1, &exec, &err), err);
    struct hn_slot slot = {
        .r = &r, .data = bound, .rows = rows, .lr = &lr, .partial = w->partial, .out = out
    };
    size_t before = mem.count;
    HN_OK(be->run(exec, &slot, 1, 1, &err), err);
    ck_assert_uint_eq(mem.count, before);
    ck_assert_int_eq(slot.bad_step, -1);
    be->finish(exec);
    be->unbind(dev, bound);
    be->close(dev);
    ck_assert_uint_eq(mem.used, 0);
    (void)t;
}

static void begin(const struct tb *t, struct world *w)
{
    memset(w, 0, sizeof *w);
    ck_assert_uint_le(t->p.n_slab, sizeof w->w / sizeof *w->w);
    tb_weights(t, w->w, 3);
    for (size_t i = 0; i < t->p.n_trained; i++)
        w->dw[i] = (double)NAN; /* must be overwritten or zeroed */
}

static struct hn_plan *plan_of(struct tb *t, enum hn_pass pass, int64_t rows)
{
    hone_error err = { 0 };
    struct hn_plan *plan;
    HN_OK(hn_plan_create(&t->mem, &t->p, pass, rows, 8, 0, &plan, &err), err);
    return plan;
}

START_TEST(shared_memory_changes_nothing)
{
    static struct tb t;
    static struct world a, b;
    for (int pass = HN_PASS_TRAIN; pass <= HN_PASS_STATS; pass++) {
        for (int64_t rows = MAX_ROWS; rows > 0; rows -= 4) {
            random_program(&t, (uint64_t)_i * 7919 + 1);
            begin(&t, &a);
            begin(&t, &b);
            struct hn_plan *plan = plan_of(&t, (enum hn_pass)pass, MAX_ROWS),
                           *apart = plan_of(&t, (enum hn_pass)pass, MAX_ROWS);
            separate_buffers(apart);
            ck_assert_uint_le(plan->arena_bytes, apart->arena_bytes);
            run(&t, plan, &a, rows);
            run(&t, apart, &b, rows);
            ck_assert_msg(!memcmp(a.w, b.w, sizeof a.w), "program %d, pass %d: weights differ", _i,
                          pass);
            for (int i = 0; i < t.p.n_params; i++) { /* not the padding between them */
                const struct hn_param *q = &t.params[i];
                if (!(q->flags & HN_PARAM_TRAINED)) continue;
                ck_assert_msg(!memcmp(a.dw + q->off, b.dw + q->off, q->n * sizeof *a.dw),
                              "program %d: gradients", _i);
                for (size_t k = q->off; pass <= HN_PASS_GRAD && k < q->off + q->n; k++)
                    ck_assert(isfinite(a.dw[k]));
            }
            ck_assert_msg(!memcmp(a.out, b.out, sizeof a.out),
                          "program %d, pass %d: outputs differ", _i, pass);
            ck_assert_msg(!memcmp(a.partial, b.partial, sizeof a.partial),
                          "program %d, pass %d: losses differ", _i, pass);
            hn_plan_destroy(plan, &t.mem);
            hn_plan_destroy(apart, &t.mem);
            tb_free(&t);
            ck_assert_uint_eq(t.mem.used, 0);
        }
    }
}
END_TEST

static double total_loss(struct tb *t, struct hn_plan *grad, struct world *w)
{
    memset(w->partial, 0, sizeof w->partial);
    run(t, grad, w, 5);
    double sum = 0;
    for (int i = 0; i < t->p.n_losses; i++) sum += w->partial[2 * i] / w->partial[2 * i + 1];
    return sum;
}

START_TEST(program_gradients_match_central_differences)
{
    static struct tb t;
    static struct world w, g;
    random_program(&t, (uint64_t)_i * 104729 + 5);
    begin(&t, &g);
    struct hn_plan *plan = plan_of(&t, HN_PASS_GRAD, 5);
    double mid = total_loss(&t, plan, &g);
    int points = 0, kinks = 0;
    w = g;
    for (int i = 0; i < t.p.n_params; i++) {
        const struct hn_param *q = &t.params[i];
        if (!(q->flags & HN_PARAM_TRAINED)) continue;
        for (size_t k = q->off; k < q->off + q->n; k += 5, points++) {
            double keep = w.w[k], h = 1e-5;
            w.w[k] = keep + h;
            double up = total_loss(&t, plan, &w);
            w.w[k] = keep - h;
            double down = total_loss(&t, plan, &w);
            w.w[k] = keep;
            double slope = (up - down) / (2 * h), scale = fmax(1, fabs(slope));
            int kink = fabs(up - 2 * mid + down) / h > 2e-3 * scale;
            kinks += kink;
            ck_assert_msg(kink || fabs(slope - g.dw[k]) <= 2e-6 * scale,
                          "program %d, %s[%zu]: %g, differences say %g", _i, q->name, k - q->off,
                          g.dw[k], slope);
        }
    }
    ck_assert_msg(kinks * 5 <= points, "program %d: %d of %d points are kinks", _i, kinks, points);
    hn_plan_destroy(plan, &t.mem);
    tb_free(&t);
}
END_TEST

/* ---- single properties ------------------------------------------------------------------------------------------ */

static const struct hn_step *step_of(const struct hn_plan *p, int op, int backward)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == op && p->steps[i].backward == backward) return &p->steps[i];
    return NULL;
}
static int same_ref(struct hn_ref a, struct hn_ref b)
{
    return a.space == b.space && a.off == b.off;
}

START_TEST(passes_keep_what_they_need)
{
    static struct tb t;
    tb_init(&t);
    int x = tb_input(&t, tb_shape(2, TB_N, 4)), unused = tb_input(&t, tb_shape(2, TB_N, 4));
    int w = tb_param(&t, tb_shape(2, 4, 4), 1), lonely = tb_param(&t, tb_shape(1, 4), 1);
    int h = tb_op(&t, &hn_op_dense, &dense, 2, (int[]){ x, w });        /* op 0 */
    int side = tb_op(&t, &hn_op_binary, &mul, 2, (int[]){ h, lonely }); /* op 1: output only */
    tb_op(&t, &hn_op_unary, &relu, 1, &side);                           /* op 2: dead */
    tb_loss(&t, &hn_op_loss_regression, &mse, h, tb_target(&t, tb_shape(2, TB_N, 4)),
            -1); /* op 3 */
    tb_output(&t, side);
    tb_finish(&t);
    static const int want[5][4] = {
        { 1, 0, 0, 1 }, { 1, 0, 0, 1 }, { 1, 1, 0, 1 }, { 1, 1, 0, 0 }, { 0, 0, 0, 0 }
    };
    for (int pass = 0; pass < 5; pass++) {
        struct hn_plan *p = plan_of(&t, (enum hn_pass)pass, 8);
        int n = 0, training = pass <= HN_PASS_GRAD;
        for (int op = 0; op < 4; op++, n += want[pass][op - 1])
            ck_assert_msg(!!step_of(p, op, 0) == want[pass][op], "pass %d, op %d", pass, op);
        ck_assert_int_eq(p->n_forward, n);
        ck_assert_int_eq(p->n_steps, training ? n + 2 : n);
        ck_assert_int_eq(p->inputs[0].space, pass == HN_PASS_STATS ? HN_SP_NONE : HN_SP_ARENA);
        ck_assert_int_eq(p->inputs[1].space, HN_SP_NONE);
        ck_assert_int_eq(p->targets[0].space, pass <= HN_PASS_EVAL ? HN_SP_ARENA : HN_SP_NONE);
        ck_assert_int_eq(p->outputs[0].space, pass == HN_PASS_EVAL || pass == HN_PASS_PREDICT
                                                  ? HN_SP_ARENA
                                                  : HN_SP_NONE);
        ck_assert_int_eq(p->n_zero_params, training);
        if (training) {
            ck_assert_int_eq(p->zero_params[0], t.values[lonely].index);
            ck_assert_int_eq(step_of(p, 0, 1)->dx[0].space, HN_SP_NONE); /* data have no gradient */
            ck_assert_int_eq(step_of(p, 0, 1)->dx[1].space, HN_SP_DW);
        }
        hn_plan_destroy(p, &t.mem);
    }
    (void)unused;
    tb_free(&t);
}
END_TEST

START_TEST(in_place_only_where_nobody_looks)
{
    static struct tb t;
    tb_init(&t);
    int x = tb_input(&t, tb_shape(2, TB_N, 4)), w = tb_param(&t, tb_shape(2, 4, 4), 1);
    int over_data = tb_op(&t, &hn_op_unary, &relu, 1, &x); /* 0: never over the data */
    int a = tb_op(&t, &hn_op_dense, &dense, 2, (int[]){ over_data, w }); /* 1 */
    int b = tb_op(&t, &hn_op_unary, &relu, 1, &a);                       /* 2: in place */
    int c = tb_op(&t, &hn_op_unary, &gelu, 1, &b);  /* 3: not in training, reads its x later */
    int d = tb_op(&t, &hn_op_unary, &tanh_, 1, &c); /* 4: not, c is used below */
    int e = tb_op(&t, &hn_op_binary, &add, 2, (int[]){ d, c }); /* 5: tanh's backward reads d */
    int f = tb_op(&t, &hn_op_binary, &add, 2, (int[]){ e, e }); /* 6: not, both operands are one */
    tb_loss(&t, &hn_op_loss_regression, &mse, f, tb_target(&t, tb_shape(2, TB_N, 4)), -1);
    tb_output(&t, c);
    tb_finish(&t);
    static const int train[7] = { 0, 0, 1, 0, 0, 0, 0 }, eval[7] = { 0, 0, 1, 1, 0, 1, 0 };
    for (int pass = HN_PASS_TRAIN; pass <= HN_PASS_EVAL; pass += 2) {
        struct hn_plan *p = plan_of(&t, (enum hn_pass)pass, 8);
        for (int op = 0; op < 7; op++) {
            const struct hn_step *s = step_of(p, op, 0);
            int want = pass == HN_PASS_TRAIN ? train[op] : eval[op];
            ck_assert_msg(same_ref(s->x[0], s->y[0]) == want, "pass %d, op %d: in place %d", pass,
                          op, !want);
        }
        hn_plan_destroy(p, &t.mem);
    }
    struct hn_plan *p = plan_of(&t, HN_PASS_TRAIN, 8);
    ck_assert(same_ref(step_of(p, 2, 1)->dx[0], step_of(p, 2, 1)->dy[0])); /* relu: dx over dy */
    ck_assert_uint_eq(step_of(p, 6, 1)->acc, 2u); /* e + e: the second one adds */
    ck_assert(same_ref(step_of(p, 6, 1)->dx[0], step_of(p, 6, 1)->dx[1]));
    ck_assert_uint_eq(step_of(p, 5, 1)->acc, 0u);
    ck_assert_uint_eq(step_of(p, 4, 1)->acc, 1u); /* c has its gradient from op 5 already */
    hn_plan_destroy(p, &t.mem);
    tb_free(&t);
}
END_TEST

START_TEST(ties_add_into_one_gradient)
{
    static struct tb t;
    static struct world w;
    tb_init(&t);
    int x = tb_input(&t, tb_shape(2, TB_N, WIDTH)), k = tb_param(&t, tb_shape(2, WIDTH, WIDTH), 1);
    int a = tb_op(&t, &hn_op_dense, &dense, 2, (int[]){ x, k }),
        b = tb_op(&t, &hn_op_dense, &dense, 2, (int[]){ a, k });
    tb_loss(&t, &hn_op_loss_regression, &mse, b, tb_target(&t, tb_shape(2, TB_N, WIDTH)), -1);
    tb_finish(&t);
    struct hn_plan *p = plan_of(&t, HN_PASS_GRAD, 5);
    ck_assert_uint_eq(step_of(p, 1, 1)->acc, 0u);
    ck_assert_uint_eq(step_of(p, 0, 1)->acc, 2u);
    begin(&t, &w);
    total_loss(&t, p, &w);
    double g = w.dw[3], h = 1e-5;
    w.w[3] += h;
    double up = total_loss(&t, p, &w);
    w.w[3] -= 2 * h;
    double down = total_loss(&t, p, &w);
    ck_assert_double_eq_tol(g, (up - down) / (2 * h), 1e-7);
    hn_plan_destroy(p, &t.mem);
    tb_free(&t);
}
END_TEST

START_TEST(places_are_aligned_and_staggered)
{
    static struct tb t;
    tb_init(&t);
    int v = tb_input(&t, tb_shape(2, TB_N, 512)), outs[6];
    for (int i = 0; i < 6; i++) outs[i] = tb_output(&t, tb_op(&t, &hn_op_unary, &gelu, 1, &v));
    tb_finish(&t);
    struct hn_plan *p = plan_of(&t, HN_PASS_PREDICT, 512);
    for (int i = 0; i < 6; i++) {
        ck_assert_uint_eq(p->outputs[i].off % 64, 0);
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(p->outputs[i].off % 4096, p->outputs[k].off % 4096);
    }
    hn_plan_destroy(p, &t.mem);
    (void)outs;
    tb_free(&t);
}
END_TEST

START_TEST(budget_and_overflow_are_refused)
{
    static struct tb t;
    hone_error err = { 0 };
    struct hn_plan *p;
    tb_init(&t);
    int x = tb_input(&t, tb_shape(2, TB_N, 1000)), y = tb_op(&t, &hn_op_unary, &relu, 1, &x);
    tb_output(&t, y);
    tb_finish(&t);
    ck_assert_int_eq(hn_plan_create(&t.mem, &t.p, HN_PASS_PREDICT, 100, 8, 1000000, &p, &err),
                     HONE_E_BUDGET);
    ck_assert_ptr_null(p);
    ck_assert_msg(strstr(err.text, "1000000") && strstr(err.text, "prediction"), "%s", err.text);
    HN_OK(hn_plan_create(&t.mem, &t.p, HN_PASS_PREDICT, 100, 8, 2000000, &p, &err), err);
    hn_plan_destroy(p, &t.mem);
    ck_assert_int_eq(hn_plan_create(&t.mem, &t.p, HN_PASS_PREDICT, INT64_MAX / 8, 8, 0, &p, &err),
                     HONE_E_NOMEM);
    ck_assert_int_eq(hn_plan_create(&t.mem, &t.p, HN_PASS_PREDICT, 0, 8, 0, &p, &err),
                     HONE_E_USAGE);
    ck_assert_int_eq(hn_plan_create(&t.mem, &t.p, HN_PASS_PREDICT, 8, 2, 0, &p, &err),
                     HONE_E_USAGE);
    tb_free(&t);
}
END_TEST

START_TEST(adding_into_many_inputs_is_refused)
{ /* a call can add into 32 gradients: more inputs are fine as long as each of the others is used once */
    static const struct hn_concat join = { 1 };
    for (int again = 0; again < 2; again++) {
        static struct tb t;
        hone_error err = { 0 };
        struct hn_plan *p;
        int in[40];
        tb_init(&t);
        int x = tb_input(&t, tb_shape(2, TB_N, 2)), w = tb_param(&t, tb_shape(1, 2), 1);
        for (int i = 0; i < 40; i++) in[i] = tb_op(&t, &hn_op_binary, &mul, 2, (int[]){ x, w });
        if (again) in[39] = in[0];
        int y = tb_op(&t, &hn_op_concat, &join, 40, in);
        tb_loss(&t, &hn_op_loss_regression, &mse, y, tb_target(&t, tb_shape(2, TB_N, 80)), -1);
        tb_finish(&t);
        hone_status st = hn_plan_create(&t.mem, &t.p, HN_PASS_TRAIN, 8, 8, 0, &p, &err);
        ck_assert_int_eq(st, again ? HONE_E_UNSUPPORTED : HONE_OK);
        ck_assert(!again || strstr(err.text, "input 39"));
        hn_plan_destroy(p, &t.mem);
        tb_free(&t);
    }
}
END_TEST

START_TEST(every_failed_allocation_is_an_error)
{
    static struct tb t;
    random_program(&t, 12345);
    for (long n = 1;; n++) {
        struct hn_fault f;
        hone_error err = { 0 };
        struct hn_plan *p = NULL;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = hn_plan_create(&f.mem, &t.p, HN_PASS_TRAIN, 8, 8, 0, &p, &err);
        int done = !f.mem_fail.hits;
        ck_assert_int_eq(st, done ? HONE_OK : HONE_E_NOMEM);
        ck_assert(done == !!p);
        hn_plan_destroy(p, &f.mem);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (done) break;
    }
    tb_free(&t);
}
END_TEST

HN_TEST_MAIN("plan", {
    tcase_add_loop_test(tc, shared_memory_changes_nothing, 0, 150);
    tcase_add_loop_test(tc, program_gradients_match_central_differences, 0, 40);
    tcase_add_test(tc, passes_keep_what_they_need);
    tcase_add_test(tc, in_place_only_where_nobody_looks);
    tcase_add_test(tc, ties_add_into_one_gradient);
    tcase_add_test(tc, places_are_aligned_and_staggered);
    tcase_add_test(tc, budget_and_overflow_are_refused);
    tcase_add_test(tc, adding_into_many_inputs_is_refused);
    tcase_add_test(tc, every_failed_allocation_is_an_error);
})
