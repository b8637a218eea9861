/*
 * The options of a verb as a table: a row says how an option is called, how the help describes it,
 * and into which field of the verb's `arguments` its value goes. GNU argp does the rest.
 *
 *     typedef struct arguments {
 *         const char *out;
 *         size_t threads;
 *         bool json;
 *     } arguments;
 *
 *     static const lcf_option OPTIONS[] = {
 *         {"out", "DIR", "The codes; replaced in one step", 1, LCF_OPT_TEXT(out), LCF_REQUIRED},
 *         {"threads", "N", "0 takes all processors", 2, LCF_OPT_WHOLE(threads, 0, 1024)},
 *         {"json", NULL, "Print the counts as JSON on stdout", 2, LCF_OPT_FLAG(json)},
 *         {0},
 *     };
 *
 * The LCF_OPT_ macros name a field of the type `arguments` of the file that they stand in. They do
 * not compile where the field is of a type that the kind of option cannot fill, or too narrow for
 * its range. A row without a name takes what is no option, in the order of these rows;
 * LCF_OPT_TEXTS and LCF_OPT_CALL take all the rest. Fields of options that are not given are left
 * as they are: defaults are what the verb puts there before.
 *
 * memory   texts in fields are argv's, or the configuration's: they live as long as the program
 * threads  for the main thread, before there are others
 */
#ifndef LCF_COMMON_BASE_OPTIONS_H
#define LCF_COMMON_BASE_OPTIONS_H

#include "common/base/cli.h"
#include "common/base/str.h"

#include <limits.h>
#include <stdbool.h>

/* The values of an option that may be given several times, in order; the texts are argv's. Zero to
 * start with. */
typedef struct lcf_cli_texts {
    const char **list;
    size_t n, capacity;
} lcf_cli_texts;
void lcf_cli_texts_add(lcf_cli_texts *texts, struct argp_state *state, const char *text);
void lcf_cli_texts_dispose(lcf_cli_texts *texts);

typedef enum lcf_option_kind {
    LCF_KIND_END, /* of a table */
    LCF_KIND_ALIAS,
    LCF_KIND_TEXT,
    LCF_KIND_FLAG,
    LCF_KIND_WHOLE,
    LCF_KIND_REAL,
    LCF_KIND_CHOICE,
    LCF_KIND_WORD,
    LCF_KIND_LIST,
    LCF_KIND_TEXTS,
    LCF_KIND_PARSED,
    LCF_KIND_CALL,
    LCF_KIND_TABLE,
} lcf_option_kind;

typedef struct lcf_choice { /* one of the names that an option takes, and what it stands for */
    const char *name;
    unsigned value;
} lcf_choice;

typedef struct lcf_option {
    const char *name;  /* without its dashes; NULL: takes what is no option, or includes a table */
    const char *value; /* what the help calls it; NULL for a flag */
    const char *help;  /* of a table: the line above its options */
    int group;         /* of the help: groups in order, names in order within */
    lcf_option_kind kind;
    size_t offset, size; /* of the field in `arguments` */
    bool required;
    void (*more)(lcf_buf *help); /* NULL, or appends what only the program knows to the help */
    union {
        bool flag; /* what giving the option sets */
        struct {
            uint64_t min, max;
        } whole;
        struct {
            double min, max;
        } real;
        struct {
            size_t n_offset, n_max; /* where the count goes; capacity of the field */
        } list;
        const lcf_choice *choices;     /* until a NULL name */
        const char *const *words;      /* until NULL */
        const struct lcf_option *rows; /* of the table that is included */
        lcf_status (*parse)(void *field, const char *text, lcf_err *err);
        void (*call)(void *arguments, char *text, struct argp_state *state);
    };
} lcf_option;

/* ---- kinds ---- */

/* clang-format off */
/* A text as it is; the field is a `const char *`. */
#define LCF_OPT_TEXT(field) LCF_OPT_AT_(LCF_KIND_TEXT, field, const char *: 1)

/* A bool that the option sets, or clears. */
#define LCF_OPT_FLAG(field)  LCF_OPT_AT_(LCF_KIND_FLAG, field, bool: 1), .flag = true
#define LCF_OPT_CLEAR(field) LCF_OPT_AT_(LCF_KIND_FLAG, field, bool: 1), .flag = false

/* A whole number from min to max, 0 <= min; the field is an integer that holds max. */
#define LCF_OPT_WHOLE(field, min_, max_) LCF_OPT_FIELD_(LCF_KIND_WHOLE, field), .whole.max = (max_), \
    .whole.min = (min_) + LCF_OPT_ASSERT_((uint64_t)(max_) <= LCF_OPT_MAX_(field))

/* A finite number from min to max; the field is a double or a float. */
#define LCF_OPT_REAL(field, min_, max_) \
    LCF_OPT_AT_(LCF_KIND_REAL, field, double: 1, float: 1), .real = {(min_), (max_)}

/* One of {"name", value}, ...; the field is a bool, an enum or an unsigned integer. */
#define LCF_OPT_CHOICE(field, ...) \
    LCF_OPT_AT_(LCF_KIND_CHOICE, field, bool: 1, unsigned: 1, uint64_t: 1), \
    .choices = (const lcf_choice[]){__VA_ARGS__, {NULL, 0}}

/* One of some texts; the field is a `const char *`. */
#define LCF_OPT_WORD(field, ...) \
    LCF_OPT_AT_(LCF_KIND_WORD, field, const char *: 1), \
    .words = (const char *const[]){__VA_ARGS__, NULL}

/* Whole numbers with commas between, each at most INT64_MAX; the field is an array of uint64_t,
 * whose length bounds them, `count` a size_t. */
#define LCF_OPT_LIST(field, count) \
    .kind = LCF_KIND_LIST, .offset = offsetof(arguments, field), \
    .size = _Generic(&LCF_OPT_OF_(field)[0], uint64_t *: sizeof(uint64_t)), \
    .list.n_max = sizeof(LCF_OPT_OF_(field)) / sizeof(uint64_t), \
    .list.n_offset = offsetof(arguments, count) + 0 * _Generic(LCF_OPT_OF_(count), size_t: 1)

/* Texts in their order, of an option that may be repeated; the field is an lcf_cli_texts. */
#define LCF_OPT_TEXTS(field) LCF_OPT_AT_(LCF_KIND_TEXTS, field, lcf_cli_texts: 1)

/* Whatever `parse` makes of the text, given the address of the field; its error is shown behind
 * the option's name. */
#define LCF_OPT_PARSED(field, parse_) LCF_OPT_FIELD_(LCF_KIND_PARSED, field), .parse = (parse_)

/* For what concerns more than one field: `call` gets all arguments, and ends the program by
 * argp_error on a bad text. */
#define LCF_OPT_CALL(call_) .kind = LCF_KIND_CALL, .call = (call_)

/* The rows of another table, about the struct `field`; LCF_OPT_ROWS: about the same arguments. */
#define LCF_OPT_TABLE(field, rows_) LCF_OPT_FIELD_(LCF_KIND_TABLE, field), .rows = (rows_)
#define LCF_OPT_ROWS(rows_) .kind = LCF_KIND_TABLE, .rows = (rows_)

/* Another name of the option in the row before. */
#define LCF_OPT_ALIAS .kind = LCF_KIND_ALIAS

/* Behind one of these: not giving the option is an error. */
#define LCF_REQUIRED .required = true
/* clang-format on */

/* ---- parsing ---- */

typedef struct lcf_options {
    const char *verb;
    const char *doc;        /* as argp's: what stands before the options \v what stands after */
    const lcf_option *rows; /* ended by {0} */
    /* NULL, or what must hold once all is parsed, by argp_error; required rows are checked before
     */
    void (*check)(void *arguments, struct argp_state *state);
    void (*more)(lcf_buf *doc); /* as a row's */
} lcf_options;

/*
 * Fills `arguments`, a struct of the type that the rows were made for, from --config and argv.
 *
 * errors   as lcf_cli_parse; what is wrong on the command line ends the program with 2
 */
lcf_status lcf_options_parse(const lcf_options *options, int argc, char **argv, void *arguments,
                             lcf_err *err);

/* ---- how the macros check a field ---- */

/* clang-format off */
#define LCF_OPT_OF_(field) (((arguments *)0)->field)
#define LCF_OPT_FIELD_(kind_, field) \
    .kind = (kind_), .offset = offsetof(arguments, field), .size = sizeof(LCF_OPT_OF_(field))
/* ... of one of the types, given as `type: 1` */
#define LCF_OPT_AT_(kind_, field, ...) \
    .kind = (kind_), .size = sizeof(LCF_OPT_OF_(field)), \
    .offset = offsetof(arguments, field) + 0 * _Generic(LCF_OPT_OF_(field), __VA_ARGS__)
#define LCF_OPT_MAX_(field) _Generic(LCF_OPT_OF_(field), unsigned char: UCHAR_MAX, \
    unsigned short: USHRT_MAX, unsigned: UINT_MAX, unsigned long: ULONG_MAX, \
    unsigned long long: ULLONG_MAX, int: INT_MAX, long: LONG_MAX, long long: LLONG_MAX)
#define LCF_OPT_ASSERT_(condition) \
    (0 * sizeof(struct { _Static_assert(condition, "the field is too narrow"); int unused; }))
/* clang-format on */

#endif
