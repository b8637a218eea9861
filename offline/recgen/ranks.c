/* Ranks from the environment; see the header. */
#include "offline/recgen/ranks.h"

#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

typedef struct launcher {
    const char *name, *rank, *ranks_n;
    const char *needs; /* a variable without which the others mean something else */
} launcher;

/* The most particular first: mpirun within a Slurm job sets its own beside Slurm's. */
static const launcher LAUNCHERS[] = {
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL},
    {"PMI", "PMI_RANK", "PMI_SIZE", NULL},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"},
};

static lcf_status read_number(size_t *out, const char *name, lcf_err *err)
{
    const char *text = getenv(name);
    uint64_t value;

    if (!text || !lcf_parse_u64(text, strlen(text), &value) || value > 1000000)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "the environment says %s=%s, which is no place among processes; --shard "
                        "1/1 runs without",
                        name, text ? text : "");
    *out = (size_t)value;
    return LCF_OK;
}

lcf_status lcf_rank_find(bool *out_found, lcf_rank *out, lcf_err *err)
{
    *out_found = false;
    for (size_t i = 0; i < sizeof(LAUNCHERS) / sizeof(LAUNCHERS[0]); i++) {
        const launcher *l = &LAUNCHERS[i];
        lcf_status status;
        if (!getenv(l->rank) || (l->needs && !getenv(l->needs)))
            continue;
        out->launcher = l->name;
        status = read_number(&out->rank, l->rank, err);
        if (!status)
            status = read_number(&out->ranks_n, l->ranks_n, err);
        if (!status && out->rank >= out->ranks_n)
            status = LCF_FAIL(err, LCF_EUSAGE, "%s is rank %zu of %zu", l->name, out->rank,
                              out->ranks_n);
        *out_found = !status && out->ranks_n > 1;
        return status;
    }
    return LCF_OK;
}

char *lcf_shard_folder(const char *out, size_t shard, size_t shards_n)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/shard-%zu-of-%zu", out, shard, shards_n);
    return lcf_buf_take(&path);
}
