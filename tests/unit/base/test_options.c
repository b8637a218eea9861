/*
 * Tables of options: every kind with values that it takes, to both ends of its range, and with
 * values that it refuses. A refusal ends the program, so it is looked at in a child.
 */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/options.h"

#include <sys/wait.h>
#include <unistd.h>

typedef enum colour { RED = 3, GREEN = 7 } colour;

typedef struct inner {
    const char *dataset;
    uint32_t history;
} inner;

typedef struct arguments {
    const char *out, *split;
    bool force, bos;
    uint8_t byte;
    uint16_t port;
    uint32_t narrow;
    size_t wide;
    int64_t signed_wide;
    double rate;
    float slope;
    colour colour;
    bool liked;
    uint64_t seeds[3];
    size_t seeds_n;
    lcf_cli_texts require, files;
    uint64_t even;
    size_t sum;
    inner job;
} arguments;

static lcf_status parse_even(void *field, const char *text, lcf_err *err)
{
    if (!lcf_parse_u64(text, strlen(text), field) || *(uint64_t *)field % 2)
        return LCF_FAIL(err, LCF_EINVAL, "'%s' is not even", text);
    return LCF_OK;
}

static void add(void *input, char *text, struct argp_state *state)
{
    arguments *a = input;

    if (!*text)
        argp_error(state, "--add: nothing to add");
    a->sum += strlen(text);
}

static void name_more(lcf_buf *help)
{
    lcf_buf_append_text(help, ", or teal");
}

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (a->force && a->liked)
        argp_error(state, "--force and --history exclude one another");
}

/* Rows about another struct, as several verbs share them. */
#define arguments inner
static const lcf_option INNER[] = {
    {"dataset", "DIR", "The dataset", 1, LCF_OPT_TEXT(dataset), LCF_REQUIRED},
    {"history-n", "N", "Of items", 2, LCF_OPT_WHOLE(history, 1, 20)},
    {0},
};
#undef arguments

static const lcf_option OPTIONS[] = {
    {"out", "DIR", "Where to", 1, LCF_OPT_TEXT(out), LCF_REQUIRED},
    {"cot", .group = 1, LCF_OPT_ALIAS},
    {"split", "NAME", "Which", 1, LCF_OPT_WORD(split, "valid", "test")},
    {"force", NULL, "Again", 1, LCF_OPT_FLAG(force)},
    {"no-bos", NULL, "Without", 1, LCF_OPT_CLEAR(bos)},
    {"byte", "N", "Byte", 2, LCF_OPT_WHOLE(byte, 0, 255)},
    {"port", "N", "Port", 2, LCF_OPT_WHOLE(port, 1, UINT16_MAX)},
    {"narrow", "N", "Narrow", 2, LCF_OPT_WHOLE(narrow, 5, UINT32_MAX)},
    {"wide", "N", "Wide", 2, LCF_OPT_WHOLE(wide, 0, UINT64_MAX)},
    {"signed", "N", "Signed", 2, LCF_OPT_WHOLE(signed_wide, 0, INT64_MAX)},
    {"rate", "X", "Rate", 2, LCF_OPT_REAL(rate, -1.5, 1e6)},
    {"slope", "X", "Slope", 2, LCF_OPT_REAL(slope, 0, 1)},
    {"colour", "NAME", "red or green", 3, LCF_OPT_CHOICE(colour, {"red", RED}, {"green", GREEN}),
     .more = name_more},
    {"history", "NAME", "Which", 3, LCF_OPT_CHOICE(liked, {"all", false}, {"liked", true})},
    {"seeds", "LIST", "Seeds", 3, LCF_OPT_LIST(seeds, seeds_n)},
    {"require", "WHAT", "Conditions", 3, LCF_OPT_TEXTS(require)},
    {"even", "N", "An even number", 3, LCF_OPT_PARSED(even, parse_even)},
    {"add", "TEXT", "Adds its length", 3, LCF_OPT_CALL(add)},
    {.help = "Of the job:", .group = 4, LCF_OPT_TABLE(job, INNER)},
    {NULL, "COLOUR", LCF_OPT_CHOICE(colour, {"red", RED}, {"green", GREEN}), LCF_REQUIRED},
    {NULL, "FILE...", LCF_OPT_TEXTS(files)},
    {0},
};

static const lcf_options VERB = {"paint", "Paints.\vExample:\n  llmcf paint red", OPTIONS, check,
                                 name_more};

enum { ARGV_MAX = 24 };

static lcf_status parse(arguments *a, const char *const *words)
{
    char *argv[ARGV_MAX] = {(char *)"paint"};
    int argc = 1;

    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    return lcf_options_parse(&VERB, argc, argv, a, NULL);
}

/* With what is required in front. */
#define TAKEN(...)                                                                          \
    assert_int_equal(parse(&a, (const char *const[]){"red", "--out", "o", "--dataset", "d", \
                                                     __VA_ARGS__, NULL}),                   \
                     LCF_OK)

/* What the words print before the program ends, with its exit code in *code. */
static void run(char *text, size_t n, int *code, const char *const *words)
{
    int ends[2], status;
    size_t len = 0;
    ssize_t got;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        arguments a = {0};

        dup2(ends[1], STDERR_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        (void)parse(&a, words);
        _exit(99); /* it was taken */
    }
    close(ends[1]);
    while (len + 1 < n && (got = read(ends[0], text + len, n - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_refused(const char *message, const char *const *words)
{
    char text[16384];
    int code;

    run(text, sizeof(text), &code, words);
    if (code != 2 || !strstr(text, message))
        fail_msg("exit code %d, not '%s': %s", code, message, text);
}

#define REFUSED(message, ...) \
    assert_refused(           \
        message, (const char *const[]){"red", "--out", "o", "--dataset", "d", __VA_ARGS__, NULL})

static void test_texts(void **state)
{
    arguments a = {.split = "test", .bos = true};

    (void)state;
    TAKEN("--split=valid", "--force", "--no-bos");
    assert_string_equal(a.out, "o");
    assert_string_equal(a.split, "valid");
    assert_true(a.force);
    assert_false(a.bos);
    TAKEN("--cot", "elsewhere", "--spl", "test"); /* an alias, and an abbreviation */
    assert_string_equal(a.out, "elsewhere");
    assert_string_equal(a.split, "test");
    REFUSED("--split must be one of 'valid', 'test', not 'train'", "--split", "train");
    REFUSED("not ''", "--split=");
    REFUSED("requires an argument", "--split");
    REFUSED("unrecognized option", "--splits", "test");
    REFUSED("doesn't allow an argument", "--force=1");
}

static void test_whole_numbers(void **state)
{
    arguments a = {0};

    (void)state;
    TAKEN("--byte=255", "--port=65535", "--narrow=4294967295", "--wide=18446744073709551615",
          "--signed=9223372036854775807");
    assert_int_equal(a.byte, 255);
    assert_int_equal(a.port, 65535);
    assert_true(a.narrow == UINT32_MAX && a.wide == UINT64_MAX && a.signed_wide == INT64_MAX);
    a = (arguments){.byte = 9, .port = 9, .signed_wide = 9, .wide = 9};
    TAKEN("--byte=0", "--port=1", "--narrow=5", "--wide=0", "--signed=0");
    assert_true(!a.byte && a.port == 1 && a.narrow == 5 && !a.wide && !a.signed_wide);
    REFUSED("--narrow takes a whole number from 5 to 4294967295, not '4'", "--narrow", "4");
    REFUSED("not '4294967296'", "--narrow", "4294967296");
    REFUSED("not '256'", "--byte", "256");
    REFUSED("not '0'", "--port", "0");
    REFUSED("not '18446744073709551616'", "--wide", "18446744073709551616");
    REFUSED("not '9223372036854775808'", "--signed", "9223372036854775808");
    REFUSED("not '-1'", "--wide=-1");
    REFUSED("not '1.0'", "--wide", "1.0");
    REFUSED("not '0x10'", "--wide", "0x10");
    REFUSED("not ' 1'", "--wide", " 1");
    REFUSED("not '1k'", "--wide", "1k");
    REFUSED("not ''", "--wide=");
}

static void test_real_numbers(void **state)
{
    arguments a = {0};

    (void)state;
    TAKEN("--rate=-1.5", "--slope=1");
    assert_true(a.rate == -1.5 && a.slope == 1.0f);
    TAKEN("--rate", "1e6", "--slope", "0.1");
    assert_true(a.rate == 1e6 && a.slope == 0.1f);
    REFUSED("--rate takes a number from -1.5 to 1e+06, not '1000000.1'", "--rate", "1000000.1");
    REFUSED("not '-1.6'", "--rate=-1.6");
    REFUSED("not '1.0000001'", "--slope", "1.0000001");
    REFUSED("not 'nan'", "--slope", "nan");
    REFUSED("not 'inf'", "--rate", "inf");
    REFUSED("not '-inf'", "--rate=-inf");
    REFUSED("not '1e999'", "--rate", "1e999");
    REFUSED("not '1,5'", "--rate", "1,5");
    REFUSED("not 'half'", "--rate", "half");
    REFUSED("not ''", "--rate=");
}

static void test_choices(void **state)
{
    arguments a = {.liked = true};

    (void)state;
    TAKEN("--colour", "green");
    assert_true(a.colour == RED && a.liked); /* the operand is read after all options */
    TAKEN("--history", "all");
    assert_false(a.liked);
    TAKEN("--history", "liked");
    assert_true(a.liked);
    REFUSED("--colour must be one of 'red', 'green', not 'blue'", "--colour", "blue");
    REFUSED("not 'Red'", "--colour", "Red");
    REFUSED("not ''", "--history=");
}

static void test_lists(void **state)
{
    arguments a = {.seeds = {7}, .seeds_n = 1};

    (void)state;
    TAKEN("--seeds", "1,0,9223372036854775807", "--require", "a > 0", "--require", "b > 0");
    assert_int_equal(a.seeds_n, 3);
    assert_true(a.seeds[0] == 1 && !a.seeds[1] && a.seeds[2] == INT64_MAX);
    assert_int_equal(a.require.n, 2);
    assert_string_equal(a.require.list[0], "a > 0");
    assert_string_equal(a.require.list[1], "b > 0");
    TAKEN("--seeds=5");
    assert_true(a.seeds_n == 1 && a.seeds[0] == 5);
    lcf_cli_texts_dispose(&a.require);
    REFUSED("--seeds takes at most 3 numbers", "--seeds", "1,2,3,4");
    REFUSED("--seeds takes whole numbers with commas between, not '1,'", "--seeds", "1,");
    REFUSED("not ''", "--seeds=");
    REFUSED("not ',1'", "--seeds", ",1");
    REFUSED("not '1,-2'", "--seeds", "1,-2");
    REFUSED("not '9223372036854775808'", "--seeds", "9223372036854775808");
}

static void test_hooks(void **state)
{
    arguments a = {0};

    (void)state;
    TAKEN("--even", "4", "--add", "abc", "--add", "de");
    assert_true(a.even == 4 && a.sum == 5);
    REFUSED("--even: '3' is not even", "--even", "3");
    REFUSED("--add: nothing to add", "--add=");
    REFUSED("--force and --history exclude one another", "--force", "--history", "liked");
}

static void test_included_tables(void **state)
{
    arguments a = {0};

    (void)state;
    TAKEN("--history-n", "20");
    assert_string_equal(a.job.dataset, "d");
    assert_int_equal(a.job.history, 20);
    REFUSED("--history-n takes a whole number from 1 to 20, not '21'", "--history-n", "21");
}

static void test_operands(void **state)
{
    arguments a = {0};

    (void)state;
    TAKEN("x", "--force", "y", "--", "--z");
    assert_int_equal(a.files.n, 3);
    assert_string_equal(a.files.list[0], "x");
    assert_string_equal(a.files.list[2], "--z");
    lcf_cli_texts_dispose(&a.files);
    assert_refused("COLOUR must be one of 'red', 'green', not 'blue'",
                   (const char *const[]){"blue", "--out", "o", "--dataset", "d", NULL});
}

static void test_required(void **state)
{
    (void)state;
    assert_refused("paint: --out, --dataset and COLOUR are needed", (const char *const[]){NULL});
    assert_refused("paint: --out and COLOUR are needed",
                   (const char *const[]){"--dataset", "d", NULL});
    assert_refused("paint: --dataset is needed",
                   (const char *const[]){"green", "--cot", "o", NULL});
}

static void test_help(void **state)
{
    char text[16384];
    int code;

    (void)state;
    run(text, sizeof(text), &code, (const char *const[]){"--help", NULL});
    assert_int_equal(code, 0);
    assert_non_null(strstr(text, "Usage: llmcf paint [OPTION...] COLOUR FILE..."));
    assert_non_null(strstr(text, "--out=DIR, --cot=DIR"));
    assert_non_null(strstr(text, "red or green, or teal"));
    assert_non_null(strstr(text, " Of the job:\n"));
    assert_non_null(strstr(text, "Example:\n  llmcf paint red, or teal"));
}

/* A configuration is checked by the same rows, and what is typed wins. */
static void test_config(void **state)
{
    arguments a = {0};
    FILE *f = fopen("paint.yaml", "w");

    (void)state;
    assert_non_null(f);
    fputs("paint:\n  byte: 1\n  rate: 2.5\n  history-n: 3\n  require: [p, q]\n", f);
    assert_int_equal(fclose(f), 0);
    TAKEN("--config", "paint.yaml", "--byte", "2");
    assert_true(a.byte == 2 && a.rate == 2.5 && a.job.history == 3 && a.require.n == 2);
    lcf_cli_texts_dispose(&a.require);
    f = fopen("paint.yaml", "w");
    assert_non_null(f);
    fputs("paint:\n  byte: 256\n", f);
    assert_int_equal(fclose(f), 0);
    REFUSED("--byte takes a whole number from 0 to 255, not '256'", "--config=paint.yaml");
    remove("paint.yaml");
}

/* Without memory it says so, whichever allocation fails. */
static void test_memory(void **state)
{
    const char *const words[] = {"red", "--out", "o", "--dataset", "d", NULL};
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status && n < 200; n++) {
        arguments a = {0};

        lcf_alloc_fail_at(n);
        status = parse(&a, words);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    assert_int_equal(status, LCF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),           cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_real_numbers),    cmocka_unit_test(test_choices),
        cmocka_unit_test(test_lists),           cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_included_tables), cmocka_unit_test(test_operands),
        cmocka_unit_test(test_required),        cmocka_unit_test(test_help),
        cmocka_unit_test(test_config),          cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
