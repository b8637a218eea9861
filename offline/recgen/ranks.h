/*
 * The place of this process among those that a launcher started together: mpirun (Open MPI, or any
 * by PMI) or srun. Nothing is exchanged between them, so the environment is all that is needed.
 */
#ifndef LCF_OFFLINE_RECGEN_RANKS_H
#define LCF_OFFLINE_RECGEN_RANKS_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_rank {
    size_t rank, ranks_n;
    const char *launcher; /* static */
} lcf_rank;

/*
 * False when this process was not started as one of several. A batch script of Slurm is one
 * process, whatever SLURM_NTASKS says, until srun starts its tasks.
 *
 * errors   EUSAGE the environment holds half of what it should, or nonsense (named)
 */
lcf_status lcf_rank_find(bool *out_found, lcf_rank *out, lcf_err *err);
/* "OUT/shard-2-of-8": where a shard keeps its store. NULL when out of memory; free(). */
char *lcf_shard_folder(const char *out, size_t shard, size_t shards_n);

#endif
