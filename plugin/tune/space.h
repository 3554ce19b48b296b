/* SPDX-License-Identifier: MIT
 *
 * The search space: what may be tried. One axis a parameter, described by one line of text:
 *
 *     lr=log:1e-4..1e-1                  float between two bounds; log: on a log scale
 *     dropout=0..0.5:step=0.1            float with a step (not with log)
 *     momentum=0.5..0.99:points=6        what a grid takes of an axis that has no step (any sampler else ignores it)
 *     hidden_units=int:log:8..256        whole numbers; step=S only without log
 *     batch_size=16,32,64                choices, two or more; one choice is choice:V
 *     shuffle=bool                       false,true
 *     momentum=0.5..0.99?optimizer=momentum|nesterov     only when optimizer is one of these; more conditions after '&'
 *
 * A line may begin with the place it comes from, ending in " line N", and a tab ("space.yaml line 3\tlr=…"), for messages.
 * Around names, numbers and choices blanks do not count. A backslash takes the meaning of , | & ? \ and of a blank away. A
 * choice is a number, true or false when it reads as one, else text (no tab, no line break); "16" in double quotes is text.
 *
 * A point is one double per axis: the number itself, the index of the choice, or NaN where the axis does not count because its
 * conditions do not hold ("inactive"). A settled point has its numbers on the grid and inside the bounds, NaN exactly where
 * inactive. What two settled points hold is the same trial exactly when their doubles are the same.
 *
 * The unit cube is what samplers walk in: a continuous axis is [0,1] over its bounds (in logs if log), a discrete one has a
 * cell of the same size for every level (levels + their half steps; in logs if log), inactive axes are 0.5. */
#ifndef HN_SPACE_H
#define HN_SPACE_H

#include "ops/base/memory.h"
#include "ops/base/status.h"

#define HN_INT_MOST 9e15      /* of whole numbers, on either side of 0 */
enum { HN_SPACE_AXES = 256 }; /* at most */
enum hn_axis_kind { HN_AXIS_FLOAT, HN_AXIS_INT, HN_AXIS_CHOICE };
enum hn_choice_type { HN_CHOICE_TEXT, HN_CHOICE_INT, HN_CHOICE_FLOAT, HN_CHOICE_BOOL };

struct hn_choice {
    const char *text; /* as it is given to hone_params_set: without quotes */
    enum hn_choice_type type;
};

struct
    hn_when { /* holds when the parent is active and has one of these values (numbers, or indices of choices) */
    int parent;
    int n;
    double *values;
};

struct hn_axis {
    const char *name;
    const char *place; /* for messages: "space.yaml line 3", or the name */
    enum hn_axis_kind kind;
    int log;
    double low, high,
        step; /* step 0: continuous; whole numbers have at least 1. high is on the grid of low and step */
    const double
        *levels; /* of a float with a step, from hn_space_finish on; NULL: not worked out */
    int points;  /* what a grid takes of a continuous axis; 0: not said */
    struct hn_choice *choices;
    int n_choices;
    struct hn_when *whens; /* all must hold */
    int n_whens;
    const char *conditions; /* as written, read by hn_space_finish */
    int implied;            /* so many at their end were not written: hn_space_company added them */
};

struct hn_search_space {
    struct hn_arena arena;
    struct hn_axis *axes;
    int n;
    size_t n_added, cap; /* of the growing array; n_added == n */
    int *order;          /* parents before children; else as added */
    const char *text;  /* canonical: one line an axis, '\n' between; equal text is an equal space */
    const char *loose; /* the text without implied conditions: what it was before there were any */
    uint64_t hash;     /* of text, to show */
};

void hn_space_init(struct hn_search_space *s, struct hn_mem *m);
void hn_space_clear(struct hn_search_space *s); /* a zeroed space is fine */
/* A space from its canonical text. The caller clears it, also after a failure. */
hone_status hn_space_read(struct hn_search_space *s, struct hn_mem *m, const char *text,
                          hone_error *err);
/* Adds an axis. place (NULL: the line's own, else the name) is where messages point to. HONE_E_USAGE names what was found and wanted: bounds upside
 * down, log with a bound that is not positive, a step that does not fit, no choices, the same name or choice twice. */
hone_status hn_space_add(struct hn_search_space *s, const char *line, const char *place,
                         hone_error *err);
/* After the last axis: reads conditions (an unknown parent, values it never has, a cycle, conditions that never hold together), orders the axes, writes the text.
 * A space without axes is refused. */
hone_status hn_space_finish(struct hn_search_space *s, hone_error *err);
/* Before hn_space_finish, for a search over the parameter table: every axis must be a row of groups training or data that a
 * search can set, or one of `knobs` (name NULL at the end; "units_#" stands for units_1, units_2, …); else HONE_E_USAGE with a
 * suggestion. Bounds and choices must be what the parameter takes, and LOW..HIGH of a whole-number parameter becomes int. */
struct hn_knob {
    const char *name;
    enum hn_axis_kind kind;
    double low, high;    /* numbers: what is allowed */
    const char *choices; /* "relu|tanh"; NULL: any */
};
hone_status hn_space_check_names(struct hn_search_space *s, const struct hn_knob *knobs,
                                 hone_error *err);
/* Before hn_space_finish: conditions on parameters that are not in the space but have a fixed value (get returns it as text,
 * NULL: no such parameter). One that holds is taken away; an axis with one that does not is refused: no trial would have it. */
hone_status hn_space_fix(struct hn_search_space *s,
                         const char *(*get)(void *user, const char *name), void *user,
                         hone_error *err);
/* space_never.c: the first axis whose conditions, with those of the axes it depends on, never hold together: HONE_E_USAGE. After
 * the axes are ordered. */
hone_status hn_space_reachable(struct hn_search_space *s, hone_error *err);
/* "adam, sgd", "1..9": what an axis may be. */
enum { HN_AXIS_VALUES = 256 };
const char *hn_axis_values(const struct hn_axis *a, char text[HN_AXIS_VALUES]);
void hn_when_values(const struct hn_search_space *s, const struct hn_when *w,
                    char text[HN_AXIS_VALUES]); /* of its parent */
int hn_space_find(const struct hn_search_space *s,
                  const char *name); /* '-' and '_' are the same; -1 */

/* Are the conditions of axis i fulfilled in x, whose parents of i are settled? */
int hn_space_active(const struct hn_search_space *s, const double *x, int i);
/* Snaps, clamps, and sets NaN where inactive. A NaN of an active axis becomes the middle of the axis. */
void hn_space_settle(const struct hn_search_space *s, double *x);
/* The settled point at u in the unit cube, and where in the cube x is. */
void hn_space_decode(const struct hn_search_space *s, const double *u, double *x);
void hn_space_encode(const struct hn_search_space *s, const double *x, double *u);
double hn_axis_decode(const struct hn_axis *a, double u);
double hn_axis_encode(const struct hn_axis *a,
                      double v); /* outside [0,1] for a number outside the bounds */

/* Levels of a discrete axis; 0: continuous. Values by position, 0 based. */
int64_t hn_axis_levels(const struct hn_axis *a);
double hn_axis_level(const struct hn_axis *a, int64_t i);
/* Settled points of a space without continuous axes (points= makes an axis discrete when grid is 1). *exact 0: an upper
 * bound, because an axis has several conditions. UINT64_MAX: that many or more, or continuous. */
uint64_t hn_space_count(const struct hn_search_space *s, int grid, int *exact);
/* The point number i < hn_space_count (with several conditions an axis: points may repeat). */
void hn_space_point(const struct hn_search_space *s, uint64_t i, int grid, double *x);

/* What hone_params_set takes: "0.001", "64", "relu", "true". buf >= 32 bytes is used for numbers. */
const char *hn_axis_text(const struct hn_axis *a, double v, char *buf);
/* The value that text means on this axis; need not be inside the bounds. 0: none (not a number, not a choice). */
int hn_axis_read(const struct hn_axis *a, const char *text, double *v);
/* A setting "lr=0.1, optimizer=adam" as a point, not settled: what it leaves out is NaN. */
hone_status hn_space_setting(const struct hn_search_space *s, const char *text, double *x,
                             hone_error *err);
#endif
