/*
 * Sums over the processes of a data-parallel run. The one that exists is MPI's (train_mpi.c), a
 * module beside the program that is loaded when the program was started by mpirun: the program
 * itself neither links MPI nor waits for it to start.
 *
 * Every process makes the same calls in the same order. One thread.
 */
#ifndef LCF_OFFLINE_LLAMA_TRAIN_COMM_H
#define LCF_OFFLINE_LLAMA_TRAIN_COMM_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_comm {
    size_t rank, size;
    /* Starts values = sum over processes; the sum is there after `wait`, which ends all that were
     * started. `progress` helps them along. */
    lcf_status (*sum_begin)(struct lcf_comm *comm, float *values, size_t n, lcf_err *err);
    void (*progress)(struct lcf_comm *comm);
    lcf_status (*wait)(struct lcf_comm *comm, lcf_err *err);
    lcf_status (*sum_f64)(struct lcf_comm *comm, double *values, size_t n, lcf_err *err);
    /* After success: when all processes have come here. After a failure: ends them all. */
    void (*close)(struct lcf_comm *comm, lcf_status status);
    void *module;
} lcf_comm;

/* True when this process was started as one of several by mpirun. */
bool lcf_comm_wanted(void);
/* errors: EUNSUPPORTED the module is not there; EIO MPI failed */
lcf_status lcf_comm_open(lcf_comm **out, lcf_err *err);
/* NULL is fine. status: what the run ended with. */
void lcf_comm_close(lcf_comm *comm, lcf_status status);

#endif
