/* SPDX-License-Identifier: MIT
 *
 * Optuna's SQLite schema (RDBStorage), made in memory and handed out as the bytes of a file without a write-ahead log, which
 * viewers that load it whole can read too. The schema has been the same since Optuna 3.2, whose revision it is stamped with;
 * tables, types and names are Optuna's, times are UTC as from 5.0 on (earlier ones show them shifted). */
#include "plugin/tune/export.h"
#include <math.h>
#include <sqlite3.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE studies(study_id INTEGER NOT NULL PRIMARY KEY, study_name VARCHAR(512) NOT NULL);"
    "CREATE UNIQUE INDEX ix_studies_study_name ON studies(study_name);"
    "CREATE TABLE version_info(version_info_id INTEGER NOT NULL PRIMARY KEY "
    "CHECK(version_info_id=1), "
    "schema_version INTEGER, library_version VARCHAR(256));"
    "CREATE TABLE alembic_version(version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY(version_num));"
    "CREATE TABLE study_directions(study_direction_id INTEGER NOT NULL PRIMARY KEY, direction "
    "VARCHAR(8) NOT NULL, study_id INTEGER NOT NULL REFERENCES studies(study_id), objective "
    "INTEGER "
    "NOT NULL, UNIQUE(study_id, objective));"
    "CREATE TABLE study_user_attributes(study_user_attribute_id INTEGER NOT NULL PRIMARY KEY, "
    "study_id "
    "INTEGER REFERENCES studies(study_id), \"key\" VARCHAR(512), value_json TEXT, UNIQUE(study_id, "
    "\"key\"));"
    "CREATE TABLE study_system_attributes(study_system_attribute_id INTEGER NOT NULL PRIMARY KEY, "
    "study_id "
    "INTEGER REFERENCES studies(study_id), \"key\" VARCHAR(512), value_json TEXT, UNIQUE(study_id, "
    "\"key\"));"
    "CREATE TABLE trials(trial_id INTEGER NOT NULL PRIMARY KEY, number INTEGER, study_id INTEGER "
    "REFERENCES studies(study_id), state VARCHAR(8) NOT NULL, datetime_start DATETIME, "
    "datetime_complete DATETIME);"
    "CREATE INDEX ix_trials_study_id ON trials(study_id);"
    "CREATE TABLE trial_user_attributes(trial_user_attribute_id INTEGER NOT NULL PRIMARY KEY, "
    "trial_id "
    "INTEGER REFERENCES trials(trial_id), \"key\" VARCHAR(512), value_json TEXT, UNIQUE(trial_id, "
    "\"key\"));"
    "CREATE TABLE trial_system_attributes(trial_system_attribute_id INTEGER NOT NULL PRIMARY KEY, "
    "trial_id "
    "INTEGER REFERENCES trials(trial_id), \"key\" VARCHAR(512), value_json TEXT, UNIQUE(trial_id, "
    "\"key\"));"
    "CREATE TABLE trial_params(param_id INTEGER NOT NULL PRIMARY KEY, trial_id INTEGER REFERENCES "
    "trials(trial_id), param_name VARCHAR(512), param_value FLOAT, distribution_json TEXT, "
    "UNIQUE(trial_id, param_name));"
    "CREATE TABLE trial_values(trial_value_id INTEGER NOT NULL PRIMARY KEY, trial_id INTEGER NOT "
    "NULL "
    "REFERENCES trials(trial_id), objective INTEGER NOT NULL, value FLOAT, value_type VARCHAR(7) "
    "NOT "
    "NULL, UNIQUE(trial_id, objective));"
    "CREATE TABLE trial_intermediate_values(trial_intermediate_value_id INTEGER NOT NULL PRIMARY "
    "KEY, "
    "trial_id INTEGER NOT NULL REFERENCES trials(trial_id), step INTEGER NOT NULL, "
    "intermediate_value "
    "FLOAT, intermediate_value_type VARCHAR(7) NOT NULL, UNIQUE(trial_id, step));"
    "CREATE TABLE trial_heartbeats(trial_heartbeat_id INTEGER NOT NULL PRIMARY KEY, trial_id "
    "INTEGER "
    "NOT NULL REFERENCES trials(trial_id), heartbeat DATETIME NOT NULL, UNIQUE(trial_id));"
    "INSERT INTO version_info VALUES(1, 12, 'hone');"
    "INSERT INTO alembic_version VALUES('v3.2.0.a');";

static const char *const states[] = { [HN_TRIAL_WAITING] = "WAITING",
                                      [HN_TRIAL_RUNNING] = "RUNNING",
                                      [HN_TRIAL_DONE] = "COMPLETE",
                                      [HN_TRIAL_PRUNED] = "PRUNED",
                                      [HN_TRIAL_FAILED] = "FAIL" };

static hone_status failed(sqlite3 *db, hone_error *err)
{
    if (sqlite3_errcode(db) == SQLITE_NOMEM) return hn_nomem(err, "an export", 0);
    return hn_fail(err, HONE_E_INTERNAL, "export", "%s", sqlite3_errmsg(db));
}

/* One row. Of each letter of types an argument: i int64_t, d double, s text or NULL. */
static hone_status insert(sqlite3 *db, hone_error *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc != SQLITE_OK) return failed(db, err);
    va_start(ap, types);
    for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
        if (types[i - 1] == 'i')
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        else if (types[i - 1] == 'd') /* NaN is bound as NULL */
            rc = sqlite3_bind_double(st, i, va_arg(ap, double));
        else
            rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
    }
    va_end(ap);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    hone_status done = rc == SQLITE_DONE ? HONE_OK : failed(db, err);
    sqlite3_finalize(st);
    return done;
}

static const char *kind_of(double v)
{
    return isnan(v) ? "NAN" : isinf(v) ? v < 0 ? "INF_NEG" : "INF_POS" : "FINITE";
}

static hone_status put_trial(sqlite3 *db, int64_t number, const struct hn_out_trial *t,
                             hone_error *err)
{
    int64_t id = number + 1;
    HN_TRY(insert(db, err, "INSERT INTO trials VALUES(?, ?, 1, ?, ?, ?)", "iisss", id, number,
                  states[t->state], t->started, t->finished));
    for (size_t i = 0; i < t->n_params; i++)
        HN_TRY(insert(db, err, "INSERT INTO trial_params VALUES(NULL, ?, ?, ?, ?)", "isds", id,
                      t->params[i].name, t->params[i].value, t->params[i].distribution));
    if (isfinite(t->value))
        HN_TRY(insert(db, err, "INSERT INTO trial_values VALUES(NULL, ?, 0, ?, 'FINITE')", "id", id,
                      t->value));
    for (size_t i = 0; i < t->n_steps; i++)
        HN_TRY(insert(db, err, "INSERT INTO trial_intermediate_values VALUES(NULL, ?, ?, ?, ?)",
                      "iids", id, (int64_t)i + 1, isfinite(t->steps[i]) ? t->steps[i] : (double)NAN,
                      kind_of(t->steps[i])));
    for (size_t i = 0; i < t->n_attrs; i++)
        HN_TRY(insert(db, err, "INSERT INTO trial_user_attributes VALUES(NULL, ?, ?, ?)", "iss", id,
                      t->attrs[i].key, t->attrs[i].json));
    if (t->state != HN_TRIAL_WAITING) return HONE_OK;
    return insert(db, err, "INSERT INTO trial_system_attributes VALUES(NULL, ?, 'fixed_params', ?)",
                  "is", id, t->fixed);
}

static hone_status fill(sqlite3 *db, const struct hn_out_study *s, hone_error *err)
{
    if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return failed(db, err);
    HN_TRY(insert(db, err, "INSERT INTO studies VALUES(1, ?)", "s", s->name));
    HN_TRY(insert(db, err, "INSERT INTO study_directions VALUES(1, ?, 1, 0)", "s",
                  s->maximize ? "MAXIMIZE" : "MINIMIZE"));
    for (size_t i = 0; i < s->n_attrs; i++)
        HN_TRY(insert(db, err, "INSERT INTO study_user_attributes VALUES(NULL, 1, ?, ?)", "ss",
                      s->attrs[i].key, s->attrs[i].json));
    for (size_t i = 0; i < s->n; i++) HN_TRY(put_trial(db, (int64_t)i, &s->trials[i], err));
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? HONE_OK : failed(db, err);
}

hone_status hn_out_sqlite(const struct hn_out_study *s, struct hn_buffer *out, hone_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_int64 n = 0;
    unsigned char *bytes = NULL;
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK) {
        hone_status st = db ? failed(db, err) : hn_nomem(err, "an export", 0);
        sqlite3_close(db);
        return st;
    }
    hone_status st = fill(db, s, err);
    if (st == HONE_OK) bytes = sqlite3_serialize(db, "main", &n, 0);
    if (st == HONE_OK && !bytes) st = hn_nomem(err, "an export", (size_t)n);
    if (st == HONE_OK) st = out->sink.write(&out->sink, bytes, (size_t)n, err);
    sqlite3_free(bytes);
    sqlite3_close(db);
    return st;
}
