/*
 * One step of a night. Invariant: the verb never outlives this process, so that a night that was
 * killed is one that has ended.
 */
#include "offline/night/night.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/night/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_BYTES_MAX = 64 << 20 };

/* Where a verb's summary says how many rows it worked on, and how many tokens. */
static const struct {
    const char *verb, *rows, *tokens;
} FIGURES[] = {
    {"simulate", "interactions", NULL}, {"prepare", "interactions", NULL},
    {"tune", NULL, "tokens"},           {"generate", "rows_generated", "tokens_generated"},
    {"encode", "encoded", NULL},        {"index", "examples", NULL},
    {"retrieve", "rows", NULL},
};

static volatile sig_atomic_t child; /* its process id, for the handler */

static void hand_on(int signal_number)
{
    if (child > 0)
        kill(child, signal_number);
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = hand_on;
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* In the child: does not return. */
static void become(char **argv, int out, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(out, STDOUT_FILENO) >= 0)
        execv(argv[0], argv);
    _exit(127);
}

static lcf_status read_all(lcf_buf *to, int fd, lcf_err *err)
{
    char block[1 << 16];
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LCF_FAIL_ERRNO(err, "cannot read what the step prints");
        if (to->len < OUTPUT_BYTES_MAX)
            lcf_buf_append(to, block, (size_t)n);
    }
    return to->status ? LCF_FAIL(err, to->status, "what the step prints") : LCF_OK;
}

static lcf_status wait_for(int *exit_code, pid_t pid, lcf_err *err)
{
    int state;

    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR)
            return LCF_FAIL_ERRNO(err, "cannot wait for the step");
    child = 0;
    *exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return LCF_OK;
}

static lcf_status run(int *exit_code, lcf_buf *printed, char **argv, lcf_err *err)
{
    const pid_t parent = getpid();
    int ends[2];
    lcf_status status, ended;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return LCF_FAIL_ERRNO(err, "pipe");
    catch_signals();
    pid = fork();
    if (pid == 0)
        become(argv, ends[1], parent);
    close(ends[1]);
    if (pid < 0) {
        status = LCF_FAIL_ERRNO(err, "fork");
        goto done;
    }
    child = pid;
    status = read_all(printed, ends[0], err);
    ended = wait_for(exit_code, pid, status ? NULL : err);
    status = status ? status : ended;
done:
    close(ends[0]);
    return status;
}

/* A manifest that was written anew is another file, or has another time. */
static void identify(struct stat *out, const char *artefact_dir)
{
    char *path = artefact_dir ? lcf_path_join(artefact_dir, "manifest.json") : NULL;

    if (!path || stat(path, out))
        memset(out, 0, sizeof(*out));
    free(path);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static json_int_t figure(const json_t *summary, const char *name)
{
    return name ? json_integer_value(json_object_get(summary, name)) : 0;
}

/* The line of a step; `summary` may be NULL. New, or NULL when out of memory. */
static json_t *make_line(const lcf_night_step *s, const json_t *summary, const char *start,
                         double seconds, bool changed, int exit_code)
{
    json_int_t rows = 0, tokens = 0;

    for (size_t i = 0; changed && i < sizeof(FIGURES) / sizeof(FIGURES[0]); i++)
        if (!strcmp(s->command[0], FIGURES[i].verb)) {
            rows = figure(summary, FIGURES[i].rows);
            tokens = figure(summary, FIGURES[i].tokens);
        }
    return json_pack("{s:s, s:s, s:f, s:b, s:I, s:I, s:i}", "step", s->name, "start", start,
                     "seconds", seconds, "changed", (int)changed, "rows", rows, "tokens", tokens,
                     "exit", exit_code);
}

static lcf_status add_line(const lcf_night_step *s, const lcf_buf *printed, const char *start,
                           double seconds, bool same, int exit_code, lcf_err *err)
{
    json_t *summary = NULL, *line;
    bool unchanged;
    lcf_status status;

    lcf_json_parse(&summary, lcf_buf_text(printed), printed->len, s->name, NULL);
    unchanged = exit_code || (s->artefact_dir && same) ||
                json_is_true(json_object_get(summary, "unchanged"));
    line = make_line(s, summary, start, seconds, !unchanged, exit_code);
    status = line ? ledger_add(s->night_dir, line, err)
                  : LCF_FAIL(err, LCF_ENOMEM, "the line of step %s", s->name);
    json_decref(line);
    json_decref(summary);
    return status;
}

static void now(char out[32])
{
    const time_t t = time(NULL);
    struct tm utc;

    out[0] = '\0';
    if (gmtime_r(&t, &utc))
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

lcf_status lcf_night_step_run(int *exit_code, const lcf_night_step *s, lcf_err *err)
{
    const double start_s = lcf_clock_s();
    char **argv = lcf_alloc_zero(s->command_n + 3, sizeof(*argv));
    lcf_buf printed = LCF_BUF_INIT;
    struct stat before, after;
    char start[32];
    lcf_status status;

    *exit_code = 1;
    if (!argv)
        return LCF_FAIL(err, LCF_ENOMEM, "command of step %s", s->name);
    argv[0] = (char *)s->program;
    memcpy(argv + 1, s->command, s->command_n * sizeof(*argv));
    argv[s->command_n + 1] = (char *)"--json";
    now(start);
    identify(&before, s->artefact_dir);
    status = run(exit_code, &printed, argv, err);
    identify(&after, s->artefact_dir);
    if (!status)
        status = add_line(s, &printed, start, lcf_clock_s() - start_s, is_same(&before, &after),
                          *exit_code, err);
    lcf_buf_dispose(&printed);
    free(argv);
    return status;
}
