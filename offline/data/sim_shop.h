/*
 * The inside of the simulator: the catalogue and what happened in it. Private to offline/data.
 */
#ifndef LCF_OFFLINE_DATA_SIM_SHOP_H
#define LCF_OFFLINE_DATA_SIM_SHOP_H

#include "common/base/status.h"
#include "offline/data/intern.h"
#include "offline/data/sim_words.h"
#include "offline/data/simulate.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_SIM_DIM (2 * LCF_SIM_STYLES)
#define LCF_SIM_POLICIES 4 /* logging, uniform, popular, best */

typedef struct lcf_sim_item {
    double latent[LCF_SIM_DIM]; /* styles, then the department's vector */
    double quality, log_popularity;
    uint32_t launch_day, brand, department;
} lcf_sim_item;

/* Item i has id i + 1. */
typedef struct lcf_sim_shop {
    size_t n;
    lcf_sim_item *items;
    lcf_intern title, categories, text; /* rows 1..n */
} lcf_sim_shop;

/* errors: ENOMEM */
lcf_status lcf_sim_shop_create(lcf_sim_shop *out, const lcf_simulate_options *options);
void lcf_sim_shop_dispose(lcf_sim_shop *shop);

typedef struct lcf_sim_impression {
    int64_t time;
    double propensity, click_truth;
    uint32_t request, user, item; /* user and item from 0 */
    uint8_t position, clicked;    /* position from 1 */
} lcf_sim_impression;

typedef struct lcf_sim_interaction {
    int64_t time;
    double like_truth; /* probability of a rating of 4 or 5 */
    uint32_t user, item;
    uint32_t request;
    uint8_t rating;
} lcf_sim_interaction;

/* What each policy would have done with the first position of a request. */
typedef struct lcf_sim_request {
    int64_t time;
    double value[LCF_SIM_POLICIES];      /* expected clicks on the first position */
    double propensity[LCF_SIM_POLICIES]; /* of the item that was shown there */
    uint32_t user, number;               /* number: as it was made, until requests are sorted */
} lcf_sim_request;

typedef struct lcf_sim_log {
    lcf_sim_request *requests;
    lcf_sim_impression *impressions;
    lcf_sim_interaction *interactions;
    size_t requests_n, impressions_n, interactions_n;
    size_t requests_capacity, impressions_capacity, interactions_capacity;
} lcf_sim_log;

/* In order of time, then user; requests are numbered in that order. errors: ENOMEM, ECANCELED */
lcf_status lcf_sim_log_create(lcf_sim_log *out, const lcf_sim_shop *shop,
                              const lcf_simulate_options *options);
void lcf_sim_log_dispose(lcf_sim_log *log);

#endif
