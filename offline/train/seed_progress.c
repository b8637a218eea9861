/* Progress of several seeds: see seed_progress.h. */
#include "offline/train/seed_progress.h"

#include <stdarg.h>
#include <stdio.h>

static uint32_t at_most(const seed_progress *p, uint32_t epochs)
{
    return epochs < p->epochs_max ? epochs : p->epochs_max;
}

/* Rows of all seeds to train, should no later epoch be better than those so far. */
static uint64_t planned_rows(const seed_progress *p)
{
    uint64_t epochs = 0;

    for (size_t i = 0; i < LCF_TRAIN_SEEDS_MAX; i++)
        epochs += p->planned[i];
    return epochs * p->epoch_rows;
}

void seed_progress_start(seed_progress *p, const char *label, uint64_t epoch_rows,
                         uint32_t epochs_max, uint32_t patience, const size_t *missing,
                         size_t missing_n)
{
    *p = (seed_progress){.epochs_max = epochs_max, .patience = patience, .epoch_rows = epoch_rows};
    pthread_mutex_init(&p->lock, NULL);
    for (size_t i = 0; i < missing_n; i++)
        p->planned[missing[i]] = at_most(p, 1 + patience);
    lcf_progress_start(&p->line, label, "rows", planned_rows(p));
}

void seed_progress_end(seed_progress *p)
{
    lcf_progress_end(&p->line);
    pthread_mutex_destroy(&p->lock);
}

void seed_progress_step(seed_progress *p, size_t rows)
{
    pthread_mutex_lock(&p->lock);
    p->rows_done += rows;
    lcf_progress_update(&p->line, p->rows_done);
    pthread_mutex_unlock(&p->lock);
}

void seed_progress_epoch(seed_progress *p, size_t idx, uint32_t best_epoch, const char *format, ...)
{
    char note[sizeof(p->line.note)];
    va_list args;

    va_start(args, format);
    vsnprintf(note, sizeof(note), format, args);
    va_end(args);
    pthread_mutex_lock(&p->lock);
    p->planned[idx] = at_most(p, best_epoch + p->patience);
    p->line.total = planned_rows(p);
    lcf_progress_note(&p->line, "%s", note);
    pthread_mutex_unlock(&p->lock);
}
