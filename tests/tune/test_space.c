/* SPDX-License-Identifier: MIT
 *
 * The search space: its lines, its errors, points, grids by number, conditions, the canonical text. */
#include "hone.h"
#include "plugin/tune/space.h"
#include "tests/fault.h"
#include "tests/tune/tune_util.h"

static struct hn_mem mem;
static struct hn_search_space sp;
static hone_error err;

static void setup(void) { hn_mem_init(&mem, 0); }
static void teardown(void)
{
    hn_space_clear(&sp);
    ck_assert_uint_eq(atomic_load(&mem.used), 0);
}

START_TEST(lines_become_axes)
{
    HN_OK(space_from(&sp, &mem,
                     "lr=log:1e-4..1e-1;p = 0 .. 0.5 : "
                     "step=0.1;n=int:log:8..256;b=16,32,64;f=bool;one=choice:x;"
                     "m=0.5..0.99?b=16|32&f=true",
                     &err),
          err);
    ck_assert_int_eq(sp.n, 7);
    ck_assert(sp.axes[0].kind == HN_AXIS_FLOAT && sp.axes[0].log && sp.axes[0].low == 1e-4 &&
              sp.axes[0].high == 0.1);
    ck_assert_int_eq(hn_axis_levels(&sp.axes[1]), 6);
    ck_assert_double_eq(hn_axis_level(&sp.axes[1], 3), 0.3); /* not 0.30000000000000004 */
    ck_assert(sp.axes[2].kind == HN_AXIS_INT && sp.axes[2].log &&
              hn_axis_levels(&sp.axes[2]) == 249);
    ck_assert(sp.axes[3].kind == HN_AXIS_CHOICE && sp.axes[3].choices[1].type == HN_CHOICE_INT);
    ck_assert(sp.axes[4].n_choices == 2 && sp.axes[4].choices[1].type == HN_CHOICE_BOOL);
    ck_assert_int_eq(sp.axes[5].n_choices, 1);
    ck_assert_int_eq(sp.axes[6].n_whens, 2);
    ck_assert_str_eq(sp.text, "lr=float:log:0.0001..0.1\np=float:0..0.5:step=0.1\nn=int:log:8.."
                              "256\nb=16,32,64\nf=false,true\n"
                              "one=choice:x\nm=float:0.5..0.99?b=16|32&f=true");
    struct hn_search_space again; /* the text reads back as the same space */
    char text[1000];
    snprintf(text, sizeof text, "%s", sp.text);
    for (char *p = text; *p; p++)
        if (*p == '\n') *p = ';';
    HN_OK(space_from(&again, &mem, text, &err), err);
    ck_assert_str_eq(again.text, sp.text);
    ck_assert_uint_eq(again.hash, sp.hash);
    hn_space_clear(&again);
}
END_TEST

START_TEST(choices_keep_their_characters)
{
    HN_OK(space_from(&sp, &mem, "c=a\\,b,\"16\",16.5, -x ,\\?\\|\\&,true", &err), err);
    static const char *const want[] = { "a,b", "16", "16.5", "-x", "?|&", "true" };
    static const enum hn_choice_type types[] = { HN_CHOICE_TEXT, HN_CHOICE_TEXT, HN_CHOICE_FLOAT,
                                                 HN_CHOICE_TEXT, HN_CHOICE_TEXT, HN_CHOICE_BOOL };
    ck_assert_int_eq(sp.axes[0].n_choices, 6);
    for (int i = 0; i < 6; i++) {
        ck_assert_str_eq(sp.axes[0].choices[i].text, want[i]);
        ck_assert_int_eq(sp.axes[0].choices[i].type, types[i]);
    }
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    { "x=1..0", "low 1 is above high 0" },
    { "x=log:0..1", "low > 0" },
    { "x=log:-1..1", "low > 0" },
    { "x=0..inf", "finite" },
    { "x=0..1:step=2", "does not fit" },
    { "x=log:1..10:step=1", "exclude" },
    { "x=int:0.5..3", "whole numbers" },
    { "x=0..1:stop=2", ":step=S" },
    { "x=0..1:points=0", ":points=N" },
    { "x=a..b", "wanted LOW..HIGH" },
    { "x=3", "wanted LOW..HIGH" },
    { "x=", "empty" },
    { "x=choice:", "empty" },
    { "x=a,,b", "choice 2 is empty" },
    { "x=a,b,a", "stands twice" },
    { "x=a,s\tgd", "choice 2 holds a tab (behind 's'), wanted text without tabs" },
    { "x=\"a\nb\",c", "choice 1 holds a line break (behind 'a')" },
    { "x=choice:a\\\tb", "choice 1 holds a tab" },
    { "x=a,\x01", "choice 2 holds a control character (behind '')" },
    { "x=1,2;x=3,4", "stands twice" },
    { "x_y=1,2;x-y=3,4", "stands twice" },
    { "x", "wanted NAME=" },
    { "=1..2", "wanted NAME=" },
    { "a b=1..2", "no name" },
    { "x=0..1?", "nothing follows" },
    { "x=0..1?y=1", "not in the space" },
    { "x=0..1?y=z;y=a,b", "never 'z', it is one of a, b" },
    { "x=0..1?y=7;y=int:1..3", "never '7', it is one of 1, 2, 3" },
    { "x=0..1?y=70;y=int:1..30", "never '70', it is one of 1..30" },
    { "x=0..1?y=a&y=b;y=a,b",
      "x is never searched: the conditions of x want 'y' to be a, those of x" },
    { "x=0..1?y=a&z=2|3;y=a,b?z=1;z=int:1..3",
      "x is never searched: the conditions of x want 'z' to be 2, 3, those of y want 1" },
    { "x=0..1?y=a|b&z=2;y=a,b,c?w=1|2;z=2,3?w=3;w=int:1..3", "x is never searched" },
    { "x=0..1?y=0.5;y=0..1", "choices or whole" },
    { "x=1,2?x=1", "itself" },
    { "x=1,2?y=1;y=1,2?x=1", "depends on itself" },
    { "x=0..1?y;y=1,2", "?PARAMETER=" },
    { "", "no parameters" },
};

START_TEST(bad_lines_are_told)
{
    hone_status st = space_from(&sp, &mem, bad[_i].text, &err);
    ck_assert_msg(st == HONE_E_USAGE, "'%s' was taken", bad[_i].text);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "'%s' says: %s", bad[_i].text, err.text);
    ck_assert(err.where[0]);
}
END_TEST

START_TEST(places_are_named)
{
    hn_space_init(&sp, &mem);
    ck_assert_int_eq(hn_space_add(&sp, "space.yaml line 3\tlr=log:0..1", NULL, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "space.yaml line 3");
    ck_assert_int_eq(hn_space_add(&sp, "a=b line 7\tlr=a,b\tc", NULL, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "a=b line 7");
    ck_assert_str_eq(err.text,
                     "lr: choice 2 holds a tab (behind 'b'), wanted text without tabs, line "
                     "breaks and control characters");
}
END_TEST

START_TEST(the_cube_and_back)
{
    HN_OK(space_from(
              &sp, &mem,
              "a=log:1e-4..1e-1;b=int:1..5;c=x,y,z;d=0..1:step=0.25;e=int:log:1..1000;f=-5..10?c=y",
              &err),
          err);
    for (int k = 0; k < 2000; k++) {
        double u[6], x[6], v[6], y[6];
        for (int i = 0; i < 6; i++) u[i] = fmod(0.123 + 0.754877666 * (k + 1) * (i + 1), 1.0);
        hn_space_decode(&sp, u, x);
        ck_assert(x[0] >= 1e-4 && x[0] <= 0.1 && x[1] == floor(x[1]) && x[1] >= 1 && x[1] <= 5);
        ck_assert(fmod(x[3], 0.25) == 0 && x[4] >= 1 && x[4] <= 1000);
        ck_assert_int_eq(isnan(x[5]) == 0, x[2] == 1);
        memcpy(y, x, sizeof y);
        hn_space_settle(&sp, y); /* settled points stay */
        hn_space_encode(&sp, x, v);
        hn_space_decode(&sp, v, v);
        for (int i = 0; i < 6; i++) {
            ck_assert(y[i] == x[i] || (isnan(y[i]) && isnan(x[i])));
            if (i == 0 || i == 5)
                ck_assert(isnan(x[i]) || fabs(v[i] - x[i]) < 1e-12 * (1 + fabs(x[i])));
            else
                ck_assert_double_eq(v[i], x[i]);
        }
    }
    double count[5] = { 0 }, x;
    for (int k = 0; k < 1000; k++)
        x = hn_axis_decode(&sp.axes[1], (k + 0.5) / 1000), count[(int)x - 1]++;
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq(count[i], 200); /* equal cells, also at the ends */
}
END_TEST

START_TEST(grids_are_counted_and_walked)
{
    int exact;
    HN_OK(space_from(
              &sp, &mem,
              "o=sgd,momentum,adam;m=0.5..0.9:points=3?o=momentum;l=int:1..2;u1=4,8;u2=4,8,16?l=2",
              &err),
          err);
    uint64_t n = hn_space_count(&sp, 1, &exact);
    ck_assert_uint_eq(n, (1 + 3 + 1) * 2 * (1 + 3));
    ck_assert_int_eq(exact, 1);
    ck_assert_uint_eq(hn_space_count(&sp, 0, &exact), UINT64_MAX); /* m is continuous */
    double all[64][5];
    for (uint64_t i = 0; i < n; i++) {
        hn_space_point(&sp, i, 1, all[i]);
        ck_assert_int_eq(isnan(all[i][1]), all[i][0] != 1);
        ck_assert_int_eq(isnan(all[i][4]), all[i][2] != 2);
        for (uint64_t k = 0; k < i; k++) {
            int same = 1;
            for (int a = 0; a < 5; a++)
                same &= all[i][a] == all[k][a] || (isnan(all[i][a]) && isnan(all[k][a]));
            ck_assert(!same);
        }
    }
    hn_space_clear(&sp);
    HN_OK(space_from(&sp, &mem, "a=int:1..1000;b=int:1..1000;c=int:1..1000", &err), err);
    ck_assert_uint_eq(hn_space_count(&sp, 1, &exact), 1000000000u);
}
END_TEST

START_TEST(settings_are_read)
{
    double x[3];
    HN_OK(space_from(&sp, &mem, "lr=log:1e-4..1e-1;opt=sgd,adam;n=int:1..9", &err), err);
    HN_OK(hn_space_setting(&sp, "lr=0.5, opt = adam", x, &err),
          err); /* outside the bounds is fine */
    ck_assert(x[0] == 0.5 && isnan(x[2]));
    ck_assert_int_eq(hn_space_setting(&sp, "lt=1", x, &err), HONE_E_USAGE);
    ck_assert_int_eq(hn_space_setting(&sp, "opt=rms", x, &err), HONE_E_USAGE);
    ck_assert_int_eq(hn_space_setting(&sp, "n=1.5", x, &err), HONE_E_USAGE);
    ck_assert_int_eq(hn_space_setting(&sp, "n=1e16", x, &err), HONE_E_USAGE);
    ck_assert_int_eq(hn_space_setting(&sp, "n", x, &err), HONE_E_USAGE);
}
END_TEST

static hone_status named(const char *text)
{
    static const struct hn_knob knobs[] = { { "hidden_units", HN_AXIS_INT, 1, 65536, NULL },
                                            { "units_#", HN_AXIS_INT, 1, 65536, NULL },
                                            { "activation", HN_AXIS_CHOICE, 0, 0, "relu|tanh" },
                                            { NULL, HN_AXIS_INT, 0, 0, NULL } };
    char line[256];
    hn_space_clear(&sp);
    hn_space_init(&sp, &mem);
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ";");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        HN_OK(hn_space_add(&sp, line, NULL, &err), err);
        p += n + (p[n] == ';');
    }
    return hn_space_check_names(&sp, knobs, &err);
}

START_TEST(names_are_checked_against_the_table)
{
    HN_OK(named("lr=log:1e-4..1e-1;batch_size=16,32;optimizer=sgd,adam;hidden_units=8..64;units_2="
                "4..8;activation=relu,tanh;"
                "no_shuffle=bool;epochs=5..9"),
          err);
    ck_assert_int_eq(sp.axes[3].kind, HN_AXIS_INT); /* LOW..HIGH of a whole number */
    ck_assert_int_eq(sp.axes[7].kind, HN_AXIS_INT);
    HN_OK(named("swa_start=0..10"), err); /* epochs, not shares of them */
    ck_assert_int_eq(sp.axes[0].kind, HN_AXIS_INT);
    HN_OK(named("swa_start=0.5..0.9"), err);
    ck_assert_int_eq(sp.axes[0].kind, HN_AXIS_FLOAT);
    HN_OK(named("swa_start=0,0.5,10"), err);
    static const struct {
        const char *text, *says, *hint;
    } wrong[] = { { "leraning_rate=0.1..1", "nothing a search can set", "" },
                  { "batchsize=16,32", "nothing a search can set", "batch-size" },
                  { "hiden_units=8..9", "nothing a search can set", "hidden_units" },
                  { "units_x=1..2", "nothing a search can set", "units_1" },
                  { "lr=-1..1", "from 0 (not included)", "" },
                  { "lr=0..1", "lr: found 0, wanted numbers from 0 (not included)!", "" },
                  { "learning_rate=0.1..1", "nothing a search can set", "did you mean 'lr'?" },
                  { "wd=0.1..1", "nothing a search can set", "'weight-decay'" },
                  { "dropout=0..1", "to 1 (not included)", "" },
                  { "batch_size=16,large", "wanted numbers", "" },
                  { "batch_size=0,16", "found 0", "" },
                  { "batch_size=1.5..16", "whole numbers", "" },
                  { "optimizer=sgd,adamm", "adamm", "" },
                  { "optimizer=1..3", "range of numbers", "" },
                  { "activation=relu,gelux", "gelux", "" },
                  { "swa_start=0.5..10", "shares of the epochs", "5..20" },
                  { "swa_start=0..1", "found 0..1, wanted shares", "0.5..0.9" },
                  { "class_axis=first,last", "nothing a search can set", "" },
                  { "device=cpu,cuda", "nothing a search can set", "" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(named(wrong[i].text) == HONE_E_USAGE, "%s", wrong[i].text);
        strcat(err.text, "!"); /* its end */
        ck_assert_msg(strstr(err.text, wrong[i].says) != NULL, "%s: %s", wrong[i].text, err.text);
        ck_assert_msg(strstr(err.hint, wrong[i].hint) != NULL, "%s: %s", wrong[i].text, err.hint);
    }
}
END_TEST

static const char *fixed(void *user, const char *name)
{
    (void)user;
    return !strcmp(name, "optimizer") ? "momentum" : !strcmp(name, "depth") ? "2" : NULL;
}

START_TEST(fixed_values_settle_conditions)
{
    hn_space_init(&sp, &mem);
    HN_OK(hn_space_add(&sp, "m=0..1?optimizer=momentum|nesterov&c=a", NULL, &err), err);
    HN_OK(hn_space_add(&sp, "c=a,b?depth=2.0", NULL, &err), err);
    HN_OK(hn_space_fix(&sp, fixed, NULL, &err), err);
    HN_OK(hn_space_finish(&sp, &err), err);
    ck_assert_str_eq(sp.text, "m=float:0..1?c=a\nc=a,b");
}
END_TEST

START_TEST(what_is_never_searched_is_refused)
{
    hn_space_init(&sp, &mem);
    HN_OK(hn_space_add(&sp, "b=x,y?depth=2&optimizer=adam|adamw", NULL, &err), err);
    ck_assert_int_eq(hn_space_fix(&sp, fixed, NULL, &err), HONE_E_USAGE);
    ck_assert_str_eq(err.where, "search");
    ck_assert_str_eq(err.text,
                     "b is never searched: it wants optimizer=adam|adamw, but optimizer is "
                     "momentum, and is not searched");
}
END_TEST

START_TEST(conditions_that_can_hold_are_taken)
{
    /* the same axis above twice with a value in common, and one value of two that is not there */
    HN_OK(space_from(&sp, &mem, "x=0..1?y=a|b&z=2|3;y=a,b?z=1|2;z=int:1..3", &err), err);
    ck_assert_int_eq(sp.n, 3);
    hn_space_clear(&sp);
    HN_OK(space_from(&sp, &mem, "x=0..1?y=q|b;y=a,b", &err), err);
    ck_assert_str_eq(sp.text, "x=float:0..1?y=b\ny=a,b");
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (long n = 1;; n++) {
        struct hn_fault f;
        struct hn_search_space space;
        hn_fault_init(&f);
        f.mem_fail.at = n;
        hone_status st = space_from(
            &space, &f.mem, "a=log:1e-4..1;b=x,y,\"z\";c=int:1..9?b=x|y;d=0..1:step=0.5", &err);
        hn_space_clear(&space);
        ck_assert_int_eq(hn_fault_leaks(&f), 0);
        if (!f.mem_fail.hits) {
            ck_assert_int_eq(st, HONE_OK);
            break;
        }
        ck_assert_int_eq(st, HONE_E_NOMEM);
    }
}
END_TEST

HN_TEST_MAIN("space", tcase_add_checked_fixture(tc, setup, teardown);
             tcase_add_test(tc, lines_become_axes);
             tcase_add_test(tc, choices_keep_their_characters);
             tcase_add_loop_test(tc, bad_lines_are_told, 0, sizeof bad / sizeof *bad);
             tcase_add_test(tc, places_are_named); tcase_add_test(tc, the_cube_and_back);
             tcase_add_test(tc, grids_are_counted_and_walked);
             tcase_add_test(tc, settings_are_read);
             tcase_add_test(tc, names_are_checked_against_the_table);
             tcase_add_test(tc, fixed_values_settle_conditions);
             tcase_add_test(tc, what_is_never_searched_is_refused);
             tcase_add_test(tc, conditions_that_can_hold_are_taken);
             tcase_add_test(tc, every_allocation_may_fail);)
