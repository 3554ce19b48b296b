/* SPDX-License-Identifier: MIT
 *
 * Completion for shells, written from the tables of commands and options: the names of commands, of a command's options, and
 * the words an option chooses from; else files. */
#include "tools/cli.h"
#include <string.h>

/* Text as part of a word in single quotes of bash, zsh ('\'') or fish (\'), with a backslash before the characters in special. */
static void quoted(FILE *f, const char *text, const char *special, const char *apostrophe)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs(apostrophe, f);
            continue;
        }
        if (strchr(special, *text)) fputc('\\', f);
        fputc(*text, f);
    }
}

/* "a|b|c" with another character between the words. */
static void words(FILE *f, const char *choices, char between)
{
    for (; *choices; choices++) fputc(*choices == '|' ? between : *choices, f);
}

/* The commands, and the two words that are none. */
static void command_names(FILE *f)
{
    for (const struct command *const *c = commands; *c; c++) fprintf(f, "%s ", (*c)->name);
}

/* ---- bash ----------------------------------------------------------------------------------------------------------- */

static void bash_choice(void *user, const struct option *o)
{
    FILE *f = user;
    if (!*o->choices) return;
    fprintf(f, "    --%s) words='", o->name);
    words(f, o->choices, ' ');
    fputs("' ;;\n", f);
}

static void bash_value(void *user, const struct option *o)
{
    if (o->value && !*o->choices) fprintf(user, "--%s|", o->name);
}

static void bash_name(void *user, const struct option *o) { fprintf(user, "--%s ", o->name); }

static void bash_only_own(void *user, const struct option *o)
{
    if (o->own) bash_choice(user, o);
}

/* The words of a first argument, where there are some and it is none of options. */
static void bash_first(FILE *f, const struct command *c)
{
    if (!c->words) return;
    fprintf(f,
            "      %s) if ((COMP_CWORD == 2)) && [[ $now != -* ]]; then\n        "
            "COMPREPLY=($(compgen -W '",
            c->name);
    words(f, c->words, ' ');
    fputs("' -- \"$now\"))\n        return\n      fi ;;&\n", f);
}

static void bash(FILE *f)
{
    fputs("# hone: completion for bash\n"
          "_hone() {\n"
          "  local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
          "  COMPREPLY=()\n"
          "  if [[ $now == = ]]; then\n"
          "    now=\n"
          "  elif [[ $before == = ]]; then\n"
          "    before=${COMP_WORDS[COMP_CWORD-2]}\n"
          "  fi\n"
          "  case $before in\n",
          f);
    each_option(NULL, bash_choice, f);
    each_option(&cmd_train, bash_only_own, f);
    fputs("    ", f);
    each_option(NULL, bash_value, f);
    fputs("--config|--out|-o) return ;;\n"
          "    *)\n"
          "      case ${COMP_WORDS[1]} in\n",
          f);
    for (const struct command *const *c = commands; *c; c++) bash_first(f, *c);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(f, "      %s) words='", (*c)->name);
        each_option(*c, bash_name, f);
        fputs("' ;;\n", f);
    }
    fputs("      help) words='", f);
    command_names(f);
    fputs("'; ((COMP_CWORD > 2)) || words+='man params' ;;\n"
          "      completion) words='bash zsh fish' ;;\n"
          "      esac\n"
          "      if ((COMP_CWORD == 1)); then\n"
          "        words='help completion --version ",
          f);
    command_names(f);
    fputs("'\n"
          "      elif [[ $now != -* && ${COMP_WORDS[1]} != help && ${COMP_WORDS[1]} != completion "
          "]]; then\n"
          "        return\n"
          "      fi ;;\n"
          "  esac\n"
          "  COMPREPLY=($(compgen -W \"$words\" -- \"$now\"))\n"
          "}\n"
          "complete -o default -F _hone hone\n",
          f);
}

/* ---- zsh ------------------------------------------------------------------------------------------------------------ */

static void zsh_option(void *user, const struct option *o)
{
    FILE *f = user;
    fprintf(f, " \\\n      '%s--%s%s[", o->list ? "*" : "", o->name, o->value ? "=" : "");
    quoted(f, o->help, "[]\\", "'\\''");
    fputc(']', f);
    if (o->value) fprintf(f, ":%s:", o->value);
    if (*o->choices) {
        fputc('(', f);
        words(f, o->choices, ' ');
        fputc(')', f);
    } else if (o->value && strcmp(o->value, "N") && strcmp(o->value, "X"))
        fputs("_files", f);
    fputc('\'', f);
    if (o->letter) {
        fprintf(f, " '-%c[", o->letter);
        quoted(f, o->help, "[]\\", "'\\''");
        fprintf(f, "]%s'", o->value ? ":FILE:_files" : "");
    }
}

static void zsh(FILE *f)
{
    fputs("#compdef hone\n"
          "# hone: completion for zsh\n"
          "_hone() {\n"
          "  local -a commands=(\n",
          f);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(f, "    '%s:", (*c)->name);
        quoted(f, (*c)->summary, "\\", "'\\''");
        fputs("'\n", f);
    }
    fputs("    'help:examples and options of a command'\n"
          "    'completion:what completes commands and options in a shell'\n"
          "  )\n"
          "  if ((CURRENT == 2)); then\n"
          "    _describe command commands\n"
          "    return\n"
          "  fi\n"
          "  local command=$words[2]\n"
          "  shift words\n"
          "  ((CURRENT--))\n"
          "  case $command in\n",
          f);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(f, "  %s)\n    _arguments", (*c)->name);
        each_option(*c, zsh_option, f);
        if ((*c)->words) {
            fputs(" \\\n      '1:what:(", f);
            words(f, (*c)->words, ' ');
            fputs(")'", f);
        }
        fputs(" \\\n      '*:file:_files' ;;\n", f);
    }
    fputs("  help) _arguments '1:command:(man params ", f);
    command_names(f);
    fputs(")' '2:command:(", f);
    command_names(f);
    fputs(")' ;;\n"
          "  completion) _arguments '1:shell:(bash zsh fish)' ;;\n"
          "  esac\n"
          "}\n"
          "if [[ $funcstack[1] == _hone ]]; then\n"
          "  _hone \"$@\"\n"
          "else\n"
          "  compdef _hone hone\n"
          "fi\n",
          f);
}

/* ---- fish ----------------------------------------------------------------------------------------------------------- */

struct fish {
    FILE *f;
    const char *command;
};

static void fish_option(void *user, const struct option *o)
{
    const struct fish *s = user;
    fprintf(s->f, "complete -c hone -n '__fish_seen_subcommand_from %s' -l %s", s->command,
            o->name);
    if (o->letter) fprintf(s->f, " -s %c", o->letter);
    if (*o->choices) {
        fputs(" -x -a '", s->f);
        words(s->f, o->choices, ' ');
        fputc('\'', s->f);
    } else if (o->value)
        fputs(!strcmp(o->value, "N") || !strcmp(o->value, "X") ? " -x" : " -r", s->f);
    fputs(" -d '", s->f);
    quoted(s->f, o->help, "\\", "\\'");
    fputs("'\n", s->f);
}

static void fish_first(FILE *f, const struct command *c)
{
    fprintf(
        f,
        "complete -c hone -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from ",
        c->name);
    words(f, c->words, ' ');
    fputs("' -f -a '", f);
    words(f, c->words, ' ');
    fputs("'\n", f);
}

static void fish(FILE *f)
{
    fputs("# hone: completion for fish\n", f);
    for (const struct command *const *c = commands; *c; c++) {
        struct fish s = { .f = f, .command = (*c)->name };
        fprintf(f, "complete -c hone -n __fish_use_subcommand -f -a %s -d '", (*c)->name);
        quoted(f, (*c)->summary, "\\", "\\'");
        fputs("'\n", f);
        each_option(*c, fish_option, &s);
        if ((*c)->words) fish_first(f, *c);
    }
    fputs("complete -c hone -n __fish_use_subcommand -f -a help -d 'examples and options of a "
          "command'\n"
          "complete -c hone -n __fish_use_subcommand -f -a completion -d "
          "'what completes commands and options in a shell'\n"
          "complete -c hone -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n"
          "complete -c hone -n '__fish_seen_subcommand_from help; and not "
          "__fish_seen_subcommand_from man' -f -a 'man params'\n"
          "complete -c hone -n '__fish_seen_subcommand_from help' -f -a '",
          f);
    command_names(f);
    fputs("'\n", f);
}

int print_completion(FILE *f, const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(FILE *f);
    } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(shell, shells[i].name)) {
            shells[i].print(f);
            return 1;
        }
    return 0;
}
