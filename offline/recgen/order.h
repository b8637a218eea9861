/*
 * The order in which the rows of a job are asked: rows whose prompts begin alike stand side by side
 * (one user with one history, then users whose prompts begin with the same words), so that whoever
 * answers, here or at an endpoint, finds the beginning in its cache.
 *
 * Rows are sorted by the bytes of their prompts behind what all begin with. The order depends on
 * the rows, the dataset and the prompt options alone: not on what a store holds already, not on
 * threads, machine or model.
 */
#ifndef LCF_OFFLINE_RECGEN_ORDER_H
#define LCF_OFFLINE_RECGEN_ORDER_H

#include "offline/recgen/prompt.h"
#include "offline/recgen/rows.h"

/* Bytes of a prompt that are looked at; rows that are equal in them keep the order they had. */
#define LCF_ORDER_BYTES 256

/*
 * errors   ENOMEM
 * memory   LCF_ORDER_BYTES a row while it works
 */
lcf_status lcf_rows_order(lcf_chosen_rows *rows, const lcf_dataset *d, const lcf_related *related,
                          const lcf_prompt_options *prompt, lcf_err *err);

#endif
