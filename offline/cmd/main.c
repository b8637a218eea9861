/*
 * llmcf: one program, many verbs. A verb that is not built in here but stands beside this program
 * as llmcf-<verb> (rank, serve and others, which belong to the online side) is executed in its
 * place.
 */
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "offline/cmd/verbs.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verb;

#define VERB_ROW(name, function, summary) {name, function, summary},
static const verb VERBS[] = {LCF_VERBS(VERB_ROW){NULL, NULL, NULL}};

static const verb ONLINE_VERBS[] = {
    {"rank", NULL, "rank candidates for a user from a snapshot"},
    {"serve", NULL, "answer ranking requests over HTTP"},
    {"replay", NULL, "hold a request log against the offline path"},
    {"load", NULL, "measure a server under a load that does not wait for it"},
    {NULL, NULL, NULL},
};

static void print_verbs(FILE *out, const verb *verbs)
{
    for (; verbs->name; verbs++)
        fprintf(out, "  %-17s %s\n", verbs->name, verbs->summary);
}

static int usage(FILE *out, int code)
{
    fputs(
        "Usage: llmcf VERB [OPTION...]\n\n"
        "Puts a large language model's reasoning into every ranking without running one online.\n\n"
        "Verbs, in the order of the nightly pipeline:\n",
        out);
    print_verbs(out, VERBS);
    print_verbs(out, ONLINE_VERBS);
    fputs("\n`llmcf VERB --help` tells what a verb reads and writes, and its options.\n"
          "Exit codes: 0 done, 1 failed, 2 usage, 3 gate not passed, 75 try again later.\n",
          out);
    return code;
}

/* Replaces this process by llmcf-<verb> from this program's own folder; returns only when there is
 * none. */
static void run_sibling(char **argv)
{
    char path[4096], *folder;
    lcf_buf sibling = LCF_BUF_INIT;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return;
    path[n] = '\0';
    folder = dirname(path);
    lcf_buf_printf(&sibling, "%s/llmcf-%s", folder, argv[1]);
    argv[1] = (char *)lcf_buf_text(&sibling);
    if (!sibling.status)
        execv(argv[1], argv + 1);
    lcf_buf_dispose(&sibling);
}

static bool is_online_verb(const char *name)
{
    for (const verb *v = ONLINE_VERBS; v->name; v++)
        if (!strcmp(v->name, name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    lcf_cli_start(argc, argv);
    if (argc < 2)
        return usage(stderr, 2);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") || !strcmp(argv[1], "help"))
        return usage(stdout, 0);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        puts("llmcf " LCF_VERSION);
        return 0;
    }
    for (const verb *v = VERBS; v->name; v++)
        if (!strcmp(v->name, argv[1]))
            return v->run(argc - 1, argv + 1);
    if (is_online_verb(argv[1])) {
        const char *name = argv[1];
        run_sibling(argv);
        fprintf(stderr, "llmcf: cannot run llmcf-%s beside this program: %s\n", name,
                strerror(errno));
        return 1;
    }
    fprintf(stderr, "llmcf: there is no verb '%s'; `llmcf --help` lists them\n", argv[1]);
    return 2;
}
