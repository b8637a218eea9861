/*
 * Sums over processes by MPI: the module llmcf-mpi.so (train_comm.h). It links nothing of ours, so
 * that the program and the module share no state but lcf_comm.
 *
 * Large arrays go as non-blocking all-reduces, which Open MPI moves on only while one calls it:
 * `progress`. A sum of two processes is one addition, the same bits on both; of more, in an order
 * that is MPI's and fixed for a number of processes.
 */
#include "offline/llama/train_comm.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct mpi_comm {
    lcf_comm face;
    MPI_Request *requests;
    int requests_n, capacity;
} mpi_comm;

lcf_status lcf_comm_mpi_open(lcf_comm **out, lcf_err *err);

/* As LCF_FAIL, which is the program's. MPI's own errors end the job with MPI's message. */
static lcf_status fail(lcf_err *err, lcf_status status, const char *what)
{
    if (err) {
        err->status = status;
        snprintf(err->text, sizeof(err->text), "%s", what);
    }
    return status;
}

static lcf_status result(lcf_err *err, int code)
{
    return code == MPI_SUCCESS ? LCF_OK : fail(err, LCF_EIO, "MPI: a sum over processes failed");
}

static MPI_Request *next_request(mpi_comm *c)
{
    if (c->requests_n == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 64;
        MPI_Request *requests = realloc(c->requests, (size_t)capacity * sizeof(*requests));

        if (!requests)
            return NULL;
        c->requests = requests;
        c->capacity = capacity;
    }
    return &c->requests[c->requests_n++];
}

static lcf_status sum_begin(lcf_comm *comm, float *values, size_t n, lcf_err *err)
{
    mpi_comm *c = (mpi_comm *)comm;

    while (n > 0) {
        const int part = n < INT_MAX ? (int)n : INT_MAX;
        MPI_Request *request = next_request(c);

        if (!request)
            return fail(err, LCF_ENOMEM, "MPI: requests");
        if (MPI_Iallreduce(MPI_IN_PLACE, values, part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, request))
            return result(err, !MPI_SUCCESS);
        values += part;
        n -= (size_t)part;
    }
    return LCF_OK;
}

static void progress(lcf_comm *comm)
{
    mpi_comm *c = (mpi_comm *)comm;
    int done;

    if (c->requests_n)
        MPI_Testall(c->requests_n, c->requests, &done, MPI_STATUSES_IGNORE);
}

static lcf_status wait_all(lcf_comm *comm, lcf_err *err)
{
    mpi_comm *c = (mpi_comm *)comm;
    const int n = c->requests_n;

    c->requests_n = 0;
    return result(err, MPI_Waitall(n, c->requests, MPI_STATUSES_IGNORE));
}

static lcf_status sum_f64(lcf_comm *comm, double *values, size_t n, lcf_err *err)
{
    (void)comm;
    return result(err,
                  MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD));
}

static void close_comm(lcf_comm *comm, lcf_status status)
{
    mpi_comm *c = (mpi_comm *)comm;

    if (status && status != LCF_ECANCELED) /* the others wait for a sum that will not come */
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Finalize();
    free(c->requests);
    free(c);
}

lcf_status lcf_comm_mpi_open(lcf_comm **out, lcf_err *err)
{
    mpi_comm *c = calloc(1, sizeof(*c));
    int provided, rank, size;

    if (!c)
        return fail(err, LCF_ENOMEM, "MPI");
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) ||
        MPI_Comm_rank(MPI_COMM_WORLD, &rank) || MPI_Comm_size(MPI_COMM_WORLD, &size)) {
        free(c);
        return fail(err, LCF_EIO, "MPI does not start");
    }
    c->face = (lcf_comm){.rank = (size_t)rank,
                         .size = (size_t)size,
                         .sum_begin = sum_begin,
                         .progress = progress,
                         .wait = wait_all,
                         .sum_f64 = sum_f64,
                         .close = close_comm};
    *out = &c->face;
    return LCF_OK;
}
