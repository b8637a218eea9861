/*
 * Start-up, options, configuration files and exit codes of the programs.
 *
 * --config works by rewriting argv: the file's keys become long options in front of those that were
 * typed, so that argp checks both alike and the later, typed ones win.
 */
#include "common/base/cli.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define START_MARK "LCF_STARTED"

/* OpenBLAS 0.3.21 knows processors by model number; name the core that has this one's vector unit.
 */
static const char *blas_core(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "Haswell";
#endif
    return NULL;
}

void lcf_cli_start(int argc, char **argv)
{
    const char *core = blas_core();

    (void)argc;
    if (getenv(START_MARK))
        return;
    setenv(START_MARK, "1", 1);
    if (core)
        setenv("OPENBLAS_CORETYPE", core, 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    execv("/proc/self/exe", argv); /* when it fails, only speed is lost */
}

/* ---- --config ---- */

typedef struct arguments {
    char **list; /* owned strings from the file, then the typed ones (borrowed) */
    size_t n, capacity, owned_n;
} arguments;

static void arguments_dispose(arguments *a)
{
    for (size_t i = 1; i < 1 + a->owned_n && i < a->n; i++)
        free(a->list[i]);
    free(a->list);
    *a = (arguments){NULL, 0, 0, 0};
}

static lcf_status push(arguments *a, char *text, lcf_err *err)
{
    if (!text || lcf_grow((void **)&a->list, &a->capacity, a->n + 2, sizeof(*a->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "options");
    a->list[a->n++] = text;
    a->list[a->n] = NULL;
    return LCF_OK;
}

/* One "key: value": true becomes --key, false nothing, anything else --key=value. */
static lcf_status push_option(arguments *a, const char *key, const char *value, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;
    char *option;

    if (!strcmp(value, "false"))
        return LCF_OK;
    lcf_buf_printf(&text, !strcmp(value, "true") ? "--%s" : "--%s=%s", key, value);
    option = lcf_buf_take(&text);
    status = push(a, option, err);
    if (status)
        free(option);
    else
        a->owned_n++;
    return status;
}

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool is_option(const struct argp *argp, const char *key)
{
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && !strcmp(o->name, key))
            return true;
    for (const struct argp_child *c = argp->children; c && c->argp; c++)
        if (is_option(c->argp, key))
            return true;
    return !strcmp(key, "quiet") || !strcmp(key, "verbose");
}

static lcf_status push_value(arguments *a, yaml_document_t *document, const char *key,
                             yaml_node_t *value, const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (scalar(value))
        return push_option(a, key, scalar(value), err);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return LCF_FAIL(err, LCF_EUSAGE, "%s:%zu: '%s' must be a value or a list of values", path,
                        value ? value->start_mark.line + 1 : 0, key);
    for (yaml_node_item_t *i = value->data.sequence.items.start;
         !status && i < value->data.sequence.items.top; i++) {
        const char *text = scalar(yaml_document_get_node(document, *i));
        status = text ? push_option(a, key, text, err)
                      : LCF_FAIL(err, LCF_EUSAGE, "%s:%zu: '%s' must be a list of plain values",
                                 path, value->start_mark.line + 1, key);
    }
    return status;
}

static lcf_status push_section(arguments *a, yaml_document_t *document, yaml_node_t *section,
                               const struct argp *argp, const char *verb, const char *path,
                               lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (section->type != YAML_MAPPING_NODE)
        return LCF_FAIL(err, LCF_EUSAGE, "%s:%zu: '%s' must be a mapping of options", path,
                        section->start_mark.line + 1, verb);
    for (yaml_node_pair_t *p = section->data.mapping.pairs.start;
         !status && p < section->data.mapping.pairs.top; p++) {
        yaml_node_t *key_node = yaml_document_get_node(document, p->key);
        const char *key = scalar(key_node);

        if (!key || !is_option(argp, key))
            return LCF_FAIL(
                err, LCF_EUSAGE, "%s:%zu: '%s' is no option of %s; `llmcf %s --help` lists them",
                path, key_node ? key_node->start_mark.line + 1 : 0, key ? key : "?", verb, verb);
        status =
            push_value(a, document, key, yaml_document_get_node(document, p->value), path, err);
    }
    return status;
}

static lcf_status push_document(arguments *a, yaml_document_t *document, const struct argp *argp,
                                const char *verb, const char *path, lcf_err *err)
{
    yaml_node_t *root = yaml_document_get_root_node(document);

    if (!root)
        return LCF_OK; /* an empty file sets nothing */
    if (root->type != YAML_MAPPING_NODE)
        return LCF_FAIL(err, LCF_EUSAGE, "%s: must be a mapping with one section per verb", path);
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        const char *key = scalar(yaml_document_get_node(document, p->key));
        yaml_node_t *section = yaml_document_get_node(document, p->value);
        if (key && section && !strcmp(key, verb))
            return push_section(a, document, section, argp, verb, path, err);
    }
    return LCF_OK;
}

static lcf_status push_config(arguments *a, const char *path, const struct argp *argp,
                              const char *verb, lcf_err *err)
{
    lcf_status status;
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *f = fopen(path, "rb");

    if (!f)
        return LCF_FAIL_ERRNO(err, "cannot open configuration %s", path);
    if (!yaml_parser_initialize(&parser)) {
        fclose(f);
        return LCF_FAIL(err, LCF_ENOMEM, "YAML parser");
    }
    yaml_parser_set_input_file(&parser, f);
    if (!yaml_parser_load(&parser, &document)) {
        status =
            LCF_FAIL(err, LCF_EUSAGE, "%s:%zu: not valid YAML: %s", path,
                     parser.problem_mark.line + 1, parser.problem ? parser.problem : "unreadable");
    } else {
        status = push_document(a, &document, argp, verb, path, err);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    fclose(f);
    return status;
}

/* The value of --config in argv, or NULL; *skip is how many arguments it took. */
static const char *config_at(char **argv, int argc, int i, int *skip)
{
    *skip = 1;
    if (!strncmp(argv[i], "--config=", 9))
        return argv[i] + 9;
    if (strcmp(argv[i], "--config") || i + 1 >= argc)
        return NULL;
    *skip = 2;
    return argv[i + 1];
}

static lcf_status expand(arguments *a, const struct argp *argp, const char *verb, int argc,
                         char **argv, lcf_err *err)
{
    lcf_status status = push(a, argv[0], err);
    int skip, options_n = 1;

    while (options_n < argc && strcmp(argv[options_n], "--"))
        options_n++; /* what stands after -- is no option */
    for (int i = 1; !status && i < options_n; i += skip) {
        const char *path = config_at(argv, options_n, i, &skip);
        if (path)
            status = push_config(a, path, argp, verb, err);
    }
    for (int i = 1; !status && i < argc; i += skip)
        if (i >= options_n || !config_at(argv, options_n, i, &skip)) {
            skip = 1;
            status = push(a, argv[i], err);
        }
    return status;
}

/* ---- options of all verbs ---- */

enum { KEY_QUIET = 0x2001, KEY_VERBOSE, KEY_CONFIG };

static const struct argp_option COMMON_OPTIONS[] = {
    {"config", KEY_CONFIG, "FILE", 0,
     "YAML with a section per verb whose keys are its long options; flags win", -1},
    {"quiet", KEY_QUIET, NULL, 0, "No progress, only warnings and errors", -1},
    {"verbose", KEY_VERBOSE, NULL, 0, "Also debug messages", -1},
    {0},
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT: /* hand the verb's input down to its own parser */
        state->child_inputs[0] = state->input;
        return 0;
    case KEY_QUIET:
        lcf_progress_set_quiet(true);
        lcf_log_set_level(LCF_LOG_WARN);
        return 0;
    case KEY_VERBOSE:
        lcf_log_set_level(LCF_LOG_DEBUG);
        return 0;
    case KEY_CONFIG: /* --config without a value is an error; with one it was taken out before */
        argp_error(state, "--config needs a file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Option values point into the expanded list, and argp's messages begin with the name, so both live
 * as long as the program, or until it parses again. */
static arguments kept;
static lcf_buf kept_name = LCF_BUF_INIT;

static void release_kept(void)
{
    arguments_dispose(&kept);
    lcf_buf_dispose(&kept_name);
}

const char *argp_program_version = "llmcf " LCF_VERSION;

lcf_status lcf_cli_parse(const struct argp *argp, const char *verb, int argc, char **argv,
                         void *input, lcf_err *err)
{
    struct argp_child children[] = {{argp, 0, NULL, 0}, {0}};
    /* no docs here: the child's are shown, and would be shown twice */
    struct argp all = {COMMON_OPTIONS, parse_common, NULL, NULL, children, NULL, NULL};
    arguments a = {NULL, 0, 0, 0};
    lcf_status status;

    if (!kept.list)
        atexit(release_kept);
    arguments_dispose(&kept);
    argp_err_exit_status = 2;
    status = expand(&a, argp, verb, argc, argv, err);
    kept = a;
    if (status)
        return status;
    lcf_buf_reset(&kept_name);
    lcf_buf_printf(&kept_name, "llmcf %s", verb);
    a.list[0] = (char *)(uintptr_t)lcf_buf_text(&kept_name);
    program_invocation_short_name = a.list[0];
    return argp_parse(&all, (int)a.n, a.list, 0, NULL, input) ? LCF_FAIL(err, LCF_EUSAGE, "options")
                                                              : LCF_OK;
}

int lcf_cli_finish(const char *verb, lcf_status status, const lcf_err *err)
{
    if (status && err && err->text[0])
        fprintf(stderr, "llmcf %s: %s\n", verb, err->text);
    else if (status)
        fprintf(stderr, "llmcf %s: %s\n", verb, lcf_status_text(status));
    return lcf_status_exit_code(status);
}
