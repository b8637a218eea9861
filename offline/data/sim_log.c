/*
 * What happens in the simulated shop: requests, slates, clicks, ratings.
 *
 * Invariant: every user has a random stream of their own, so that what one user does depends on the
 * options and on that user alone; every probability that is drawn from is also recorded.
 */
#include "offline/data/sim_shop.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_USERS 1000
#define EPOCH INT64_C(1735689600) /* 2025-01-01 00:00 UTC */
#define DAY 86400

/* The model's constants; see simulate.h for where they stand. */
#define ACTIVITY_SPREAD 0.6 /* sigma of the log-normal number of requests */
#define DRIFT_SD 0.6        /* of a taste around its mean, per dimension */
#define DRIFT_DAYS 40.0     /* in which a drift decays to 1/e */
#define VIEW_NOISE 0.7      /* of the policy's view of a taste */
#define EXPLORE 0.1         /* e */
#define POLICY_TASTE 0.8
#define POLICY_POPULARITY 0.8
#define EXAMINE_DECAY 0.6
#define CLICK_BASE 0.6
#define CLICK_TASTE 0.7
#define CLICK_QUALITY 0.2
#define CLICK_POPULARITY 0.15
#define RATED 0.92 /* share of clicks that end in a purchase and a rating */
#define RATING_TASTE 1.2
#define RATING_QUALITY 0.6
#define RATING_GENEROSITY 0.5
#define RATING_NOISE 0.55 /* scale of the logistic noise */

static const double RATING_THRESHOLD[4] = {-0.9, 0.45, 1.75, 3.1};

typedef struct user {
    uint32_t idx;
    double mean[LCF_SIM_DIM], drift[LCF_SIM_DIM], view[LCF_SIM_DIM];
    double generosity;
    uint32_t day; /* of `drift` */
    lcf_rng rng;
} user;

typedef struct world {
    const lcf_sim_shop *shop;
    const lcf_simulate_options *options;
    lcf_sim_log *log;
    uint8_t *bought;  /* [items] by the current user */
    double *chance;   /* [items] of the logging policy, 0 where it cannot choose */
    double *attract;  /* [items] P(click | examined) */
    double *affinity; /* [items] */
    int64_t *times;   /* [times_capacity] requests of the current user */
    size_t times_capacity;
} world;

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double dot(const double *a, const double *b)
{
    double sum = 0.0;

    for (size_t i = 0; i < LCF_SIM_DIM; i++)
        sum += a[i] * b[i];
    return sum / sqrt((double)LCF_SIM_STYLES);
}

static void make_user(user *u, uint32_t idx, uint64_t seed)
{
    lcf_rng_seed(&u->rng, seed, STREAM_USERS + (uint64_t)idx);
    u->idx = idx;
    u->day = 0;
    for (size_t i = 0; i < LCF_SIM_DIM; i++) {
        u->mean[i] = lcf_rng_normal(&u->rng);
        u->drift[i] = DRIFT_SD * lcf_rng_normal(&u->rng);
        u->view[i] = u->mean[i] + VIEW_NOISE * lcf_rng_normal(&u->rng);
    }
    u->generosity = lcf_rng_normal(&u->rng);
}

/* The exact transition of the Ornstein-Uhlenbeck process to `day`. */
static void drift_to(user *u, uint32_t day)
{
    double keep = exp(-(double)(day - u->day) / DRIFT_DAYS);
    double spread = DRIFT_SD * sqrt(1.0 - keep * keep);

    if (day == u->day)
        return;
    for (size_t i = 0; i < LCF_SIM_DIM; i++)
        u->drift[i] = keep * u->drift[i] + spread * lcf_rng_normal(&u->rng);
    u->day = day;
}

static int by_value(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* The user's request times, ascending, at least a quarter of an hour apart, most of them in the
 * afternoon and evening. */
static lcf_status plan_requests(size_t *n, world *w, user *u)
{
    double mu = log(w->options->requests_per_user) - ACTIVITY_SPREAD * ACTIVITY_SPREAD / 2.0;
    double wanted = exp(mu + ACTIVITY_SPREAD * lcf_rng_normal(&u->rng));
    double limit = 40.0 * (double)w->options->days; /* fits the quarters of the days */
    lcf_status status;

    *n = (size_t)(1.0 + (wanted < limit ? wanted : limit));
    status = lcf_grow((void **)&w->times, &w->times_capacity, *n, sizeof(*w->times));
    if (status)
        return status;
    for (size_t i = 0; i < *n; i++) {
        int64_t day = (int64_t)lcf_rng_below(&u->rng, w->options->days);
        double hour = 8.0 + 7.5 * (lcf_rng_f64(&u->rng) + lcf_rng_f64(&u->rng));

        w->times[i] = EPOCH + day * DAY + (int64_t)(hour * 3600.0);
    }
    qsort(w->times, *n, sizeof(*w->times), by_value);
    for (size_t i = 1; i < *n; i++)
        if (w->times[i] < w->times[i - 1] + 900)
            w->times[i] = w->times[i - 1] + 900;
    return LCF_OK;
}

/* Fills affinity, attract and chance for one user and day; returns the number of items on offer. */
static size_t weigh_items(world *w, const user *u, uint32_t day)
{
    double taste[LCF_SIM_DIM], sum = 0.0;
    size_t offered = 0;

    for (size_t i = 0; i < LCF_SIM_DIM; i++)
        taste[i] = u->mean[i] + u->drift[i];
    for (size_t i = 0; i < w->shop->n; i++) {
        const lcf_sim_item *item = w->shop->items + i;

        w->chance[i] = 0.0;
        if (w->bought[i] || item->launch_day > day)
            continue;
        w->affinity[i] = dot(taste, item->latent);
        w->attract[i] =
            sigmoid(CLICK_BASE + CLICK_TASTE * w->affinity[i] + CLICK_QUALITY * item->quality +
                    CLICK_POPULARITY * item->log_popularity);
        w->chance[i] = exp(POLICY_TASTE * dot(u->view, item->latent) +
                           POLICY_POPULARITY * item->log_popularity);
        sum += w->chance[i];
        offered++;
    }
    for (size_t i = 0; i < w->shop->n; i++)
        if (w->chance[i] > 0.0)
            w->chance[i] = (1.0 - EXPLORE) * w->chance[i] / sum + EXPLORE / (double)offered;
    return offered;
}

/* What the four policies would earn on the first position. */
static void value_policies(lcf_sim_request *r, const world *w, size_t offered)
{
    double popular = 0.0, best = 0.0;

    memset(r->value, 0, sizeof(r->value));
    for (size_t i = 0; i < w->shop->n; i++)
        if (w->chance[i] > 0.0)
            popular += exp(w->shop->items[i].log_popularity);
    for (size_t i = 0; i < w->shop->n; i++) {
        if (!(w->chance[i] > 0.0))
            continue;
        r->value[0] += w->chance[i] * w->attract[i];
        r->value[1] += w->attract[i] / (double)offered;
        r->value[2] += exp(w->shop->items[i].log_popularity) / popular * w->attract[i];
        if (w->attract[i] > best)
            best = w->attract[i];
    }
    r->value[3] = best;
    r->propensity[2] = 1.0 / popular; /* times the item's popularity, once it is known */
}

static void value_first(lcf_sim_request *r, const world *w, size_t offered, size_t item)
{
    r->propensity[0] = w->chance[item];
    r->propensity[1] = 1.0 / (double)offered;
    r->propensity[2] *= exp(w->shop->items[item].log_popularity);
    r->propensity[3] = w->attract[item] >= r->value[3] ? 1.0 : 0.0;
}

/* One item by the policy's chances among those left; *propensity is that of this draw. */
static size_t draw_item(double *propensity, const world *w, lcf_rng *rng)
{
    double left = 0.0, at;
    size_t chosen = 0;

    for (size_t i = 0; i < w->shop->n; i++)
        left += w->chance[i];
    at = lcf_rng_f64(rng) * left;
    for (size_t i = 0; i < w->shop->n; i++) {
        if (!(w->chance[i] > 0.0))
            continue;
        chosen = i;
        at -= w->chance[i];
        if (at < 0.0)
            break;
    }
    *propensity = w->chance[chosen] / left;
    return chosen;
}

static lcf_status rate(world *w, user *u, const lcf_sim_impression *shown)
{
    const lcf_sim_item *item = w->shop->items + shown->item;
    lcf_sim_log *out = w->log;
    double utility = RATING_TASTE * w->affinity[shown->item] + RATING_QUALITY * item->quality +
                     RATING_GENEROSITY * u->generosity;
    double p = lcf_rng_f64(&u->rng), noise;
    lcf_sim_interaction row;
    lcf_status status;

    /* The inverse of the logistic distribution; p is never 1, and 0 is moved inside. */
    p = p > 0.0 ? p : 1e-16;
    noise = RATING_NOISE * log(p / (1.0 - p));
    row.rating = 1;
    for (int i = 0; i < 4; i++)
        row.rating = (uint8_t)(row.rating + (utility + noise >= RATING_THRESHOLD[i]));
    row.time = shown->time + 60 * shown->position + (int64_t)lcf_rng_below(&u->rng, 30);
    row.like_truth = sigmoid((utility - RATING_THRESHOLD[2]) / RATING_NOISE);
    row.user = u->idx;
    row.item = shown->item;
    row.request = shown->request;
    status = lcf_grow((void **)&out->interactions, &out->interactions_capacity,
                      out->interactions_n + 1, sizeof(row));
    if (!status)
        out->interactions[out->interactions_n++] = row;
    return status;
}

static lcf_status show(world *w, user *u, const lcf_sim_request *r, size_t item, double propensity,
                       uint8_t position)
{
    lcf_sim_log *log = w->log;
    lcf_sim_impression shown = {.time = r->time,
                                .propensity = propensity,
                                .request = r->number,
                                .user = u->idx,
                                .item = (uint32_t)item,
                                .position = position};
    lcf_status status = lcf_grow((void **)&log->impressions, &log->impressions_capacity,
                                 log->impressions_n + 1, sizeof(shown));

    if (status)
        return status;
    shown.click_truth = pow((double)position, -EXAMINE_DECAY) * w->attract[item];
    shown.clicked = lcf_rng_f64(&u->rng) < shown.click_truth;
    log->impressions[log->impressions_n++] = shown;
    if (!shown.clicked || lcf_rng_f64(&u->rng) >= RATED)
        return LCF_OK;
    w->bought[item] = 1;
    return rate(w, u, &shown);
}

static lcf_status serve(world *w, user *u, int64_t time)
{
    uint32_t day = (uint32_t)((time - EPOCH) / DAY);
    lcf_sim_log *log = w->log;
    lcf_sim_request r = {.time = time, .user = u->idx, .number = (uint32_t)log->requests_n};
    size_t offered;
    lcf_status status =
        lcf_grow((void **)&log->requests, &log->requests_capacity, log->requests_n + 1, sizeof(r));

    drift_to(u, day);
    offered = weigh_items(w, u, day);
    if (!offered) /* a user who bought the whole shop */
        return status;
    value_policies(&r, w, offered);
    for (uint32_t position = 1; position <= w->options->slate && position <= offered && !status;
         position++) {
        double propensity;
        size_t item = draw_item(&propensity, w, &u->rng);

        if (position == 1)
            value_first(&r, w, offered, item);
        status = show(w, u, &r, item, propensity, (uint8_t)position);
        w->chance[item] = 0.0;
    }
    if (!status)
        log->requests[log->requests_n++] = r;
    return status;
}

static lcf_status live(world *w, uint32_t idx)
{
    user u;
    size_t n;
    lcf_status status;

    make_user(&u, idx, w->options->seed);
    memset(w->bought, 0, w->shop->n);
    status = plan_requests(&n, w, &u);
    for (size_t i = 0; i < n && !status; i++)
        status = serve(w, &u, w->times[i]);
    return status;
}

static int requests_by_time(const void *left, const void *right)
{
    const lcf_sim_request *a = left, *b = right;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int impressions_by_request(const void *left, const void *right)
{
    const lcf_sim_impression *a = left, *b = right;

    if (a->request != b->request)
        return a->request < b->request ? -1 : 1;
    return (int)a->position - (int)b->position;
}

static int interactions_by_time(const void *left, const void *right)
{
    const lcf_sim_interaction *a = left, *b = right;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->user != b->user)
        return a->user < b->user ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

/* Everything into the order of time; requests get their final numbers. */
static lcf_status sort_log(lcf_sim_log *log)
{
    uint32_t *number;

    if (!log->requests_n) /* nothing was on sale yet */
        return LCF_OK;
    number = lcf_alloc(log->requests_n, sizeof(*number));
    if (!number)
        return LCF_ENOMEM;
    qsort(log->requests, log->requests_n, sizeof(*log->requests), requests_by_time);
    for (size_t i = 0; i < log->requests_n; i++) {
        number[log->requests[i].number] = (uint32_t)i;
        log->requests[i].number = (uint32_t)i;
    }
    for (size_t i = 0; i < log->impressions_n; i++)
        log->impressions[i].request = number[log->impressions[i].request];
    for (size_t i = 0; i < log->interactions_n; i++)
        log->interactions[i].request = number[log->interactions[i].request];
    free(number);
    qsort(log->impressions, log->impressions_n, sizeof(*log->impressions), impressions_by_request);
    if (log->interactions_n)
        qsort(log->interactions, log->interactions_n, sizeof(*log->interactions),
              interactions_by_time);
    return LCF_OK;
}

static lcf_status live_all(world *w)
{
    lcf_progress progress;
    lcf_status status = LCF_OK;

    lcf_progress_start(&progress, "simulate", "users", w->options->users_n);
    for (uint32_t i = 0; i < w->options->users_n && !status; i++) {
        status = lcf_stop_requested() ? LCF_ECANCELED : live(w, i);
        lcf_progress_update(&progress, i + 1);
    }
    lcf_progress_end(&progress);
    return status;
}

lcf_status lcf_sim_log_create(lcf_sim_log *out, const lcf_sim_shop *shop,
                              const lcf_simulate_options *options)
{
    world w = {.shop = shop, .options = options, .log = out};
    lcf_status status = LCF_ENOMEM;

    memset(out, 0, sizeof(*out));
    w.bought = lcf_alloc(shop->n, sizeof(*w.bought));
    w.chance = lcf_alloc(shop->n, sizeof(*w.chance));
    w.attract = lcf_alloc(shop->n, sizeof(*w.attract));
    w.affinity = lcf_alloc(shop->n, sizeof(*w.affinity));
    if (w.bought && w.chance && w.attract && w.affinity)
        status = live_all(&w);
    if (!status)
        status = sort_log(out);
    free(w.bought);
    free(w.chance);
    free(w.attract);
    free(w.affinity);
    free(w.times);
    if (status)
        lcf_sim_log_dispose(out);
    return status;
}

void lcf_sim_log_dispose(lcf_sim_log *log)
{
    free(log->requests);
    free(log->impressions);
    free(log->interactions);
    memset(log, 0, sizeof(*log));
}
