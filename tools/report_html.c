/* SPDX-License-Identifier: MIT
 *
 * Pieces of the page. Whatever comes from a file goes through html_text or html_tree. */
#include "tools/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const char page_css[], page_js[]; /* from tools/report, see tools.cmake */

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

void html_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\'': fputs("&#39;", f); break;
        default: /* no control bytes */
            if ((unsigned char)*s < 32 || *s == 127)
                fputs("\xef\xbf\xbd", f);
            else
                fputc(*s, f);
        }
    }
}

void html_number(FILE *f, double v)
{
    if (isnan(v))
        fputs("–", f);
    else
        fprintf(f, "%.4g", v);
}

void html_value(FILE *f, const json_t *v)
{
    size_t i;
    json_t *item;
    if (json_is_string(v)) {
        html_text(f, json_string_value(v));
    } else if (json_is_integer(v)) {
        fprintf(f, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        html_number(f, json_real_value(v));
    } else if (json_is_boolean(v)) {
        fputs(json_is_true(v) ? "true" : "false", f);
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            if (i) fputs("<br>", f);
            html_value(f, item);
        }
    } else {
        fputs("–", f);
    }
}

/* JSON inside an element of the page: what could end or confuse the element is written as escapes of JSON itself. */
static int put_json(const char *p, size_t n, void *user)
{
    FILE *f = user;
    for (size_t i = 0; i < n; i++) {
        if (strchr("<>&", p[i]) && p[i])
            fprintf(f, "\\u%04x", (unsigned)p[i]);
        else
            fputc(p[i], f);
    }
    return 0;
}

void html_tree(FILE *f, const json_t *tree)
{
    fputs("<script type=\"application/json\" id=\"data\">", f);
    json_dump_callback(tree, put_json, f, JSON_COMPACT);
    fputs("</script>\n", f);
}

void html_lines(FILE *f, const char *class_name, const json_t *lines)
{
    size_t i;
    json_t *line;
    if (!json_array_size(lines)) return;
    fprintf(f, "<ul class=\"%s\">\n", class_name);
    json_array_foreach(lines, i, line)
    {
        fputs("<li>", f);
        html_text(f, json_string_value(line));
        fputs("</li>\n", f);
    }
    fputs("</ul>\n", f);
}

void html_begin(FILE *f, const char *title, const char *kind)
{
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"generator\" content=\"hone report\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>",
          f);
    html_text(f, title);
    fprintf(f, " – hone %s</title>\n<style>\n", kind);
    fputs(page_css, f);
    fputs("</style>\n</head>\n<body>\n<main>\n", f);
}

void html_end(FILE *f, const json_t *tree, const char *version)
{
    fputs("<footer>Made by hone ", f);
    html_text(f, version);
    fputs(" report. This page is complete in itself: it loads nothing.</footer>\n</main>\n"
          "<div id=\"tip\" role=\"status\" hidden></div>\n",
          f);
    html_tree(f, tree);
    fputs("<script>\n", f);
    fputs(page_js, f);
    fputs("</script>\n</body>\n</html>\n", f);
}

void html_figure(FILE *f, const char *what, double v, const char *remark)
{
    fputs("<div><dt>", f);
    html_text(f, what);
    fputs("</dt><dd><b>", f);
    html_number(f, v);
    fputs("</b> <span>", f);
    html_text(f, remark);
    fputs("</span></dd></div>\n", f);
}

void html_settings(FILE *f, const json_t *settings)
{
    const char *name;
    json_t *v;
    fputs("<table class=\"settings\"><tbody>\n", f);
    json_object_foreach((json_t *)settings, name, v)
    {
        fputs("<tr><th scope=\"row\">", f);
        html_text(f, name);
        fputs("</th><td>", f);
        html_value(f, v);
        fputs("</td></tr>\n", f);
    }
    fputs("</tbody></table>\n", f);
}

void html_chart(FILE *f, const char *id, const char *title, const char *about)
{
    fprintf(f, "<section id=\"%s\" class=\"chart\"><h2>%s</h2>\n<p class=\"note\">%s</p>\n", id,
            title, about);
    fputs("<div class=\"plot\"><noscript>The chart needs scripts; the figures are in the "
          "tables.</noscript></div></section>\n",
          f);
}
