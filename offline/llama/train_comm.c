/* Loading of the MPI module; see train_comm.h. */
#include "offline/llama/train_comm.h"

#include "common/base/mem.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "llmcf-mpi.so"

bool lcf_comm_wanted(void)
{
    /* Open MPI, and launchers that speak PMI (Slurm's srun, MPICH's mpiexec). */
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *text = getenv(sizes[i]);

        if (text && strtol(text, NULL, 10) > 1)
            return true;
    }
    return false;
}

/* Beside the program, or where it is installed (../lib/llmcf). */
static void *load(void)
{
    static const char *const places[] = {"", "../" LCF_MODULE_DIR "/"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    void *module = NULL;

    program[n > 0 ? n : 0] = '\0';
    if (strrchr(program, '/'))
        strrchr(program, '/')[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !module; i++) {
        snprintf(path, sizeof(path), "%s%s" MODULE, program, places[i]);
        module = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* MPI's own plugins look for its symbols */
    }
    return module;
}

lcf_status lcf_comm_open(lcf_comm **out, lcf_err *err)
{
    lcf_status (*open)(lcf_comm **, lcf_err *);
    lcf_status status;
    void *module = load(), *symbol = module ? dlsym(module, "lcf_comm_mpi_open") : NULL;

    *out = NULL;
    if (!symbol)
        return LCF_FAIL(err, LCF_EUNSUPPORTED,
                        "started by mpirun, but " MODULE " cannot be loaded: %s", dlerror());
    memcpy(&open, &symbol, sizeof(open)); /* ISO C knows no such cast */
    status = open(out, err);
    if (!status)
        (*out)->module = module;
    return status;
}

void lcf_comm_close(lcf_comm *comm, lcf_status status)
{
    if (comm)
        comm->close(comm, status); /* the module stays: MPI has exit handlers */
}
