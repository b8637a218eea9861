/*
 * What a PyTorch twin needs to repeat a training run of DIN: the initial weights of a seed, and the
 * order of the training rows in each epoch.
 *
 *     twin_export DATASET_DIR SEED EPOCHS OUT_DIR      writes OUT_DIR/init.lcf and
 * OUT_DIR/orders.lcf
 */
#include "common/base/bundle.h"
#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "offline/train/inputs.h"
#include "offline/train/trainer.h"

#include <stdio.h>
#include <stdlib.h>

static lcf_status export_weights(const train_inputs *in, uint64_t seed, const char *dir,
                                 lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    lcf_ranker *r;
    lcf_status status = lcf_ranker_create(&r, &in->config, seed, err);

    if (status)
        return status;
    lcf_buf_printf(&path, "%s/init.lcf", dir);
    status = lcf_ranker_save(r, lcf_buf_text(&path), err);
    lcf_buf_dispose(&path);
    lcf_ranker_free(r);
    return status;
}

static lcf_status export_orders(const train_inputs *in, uint64_t seed, uint32_t epochs,
                                const char *dir, lcf_err *err)
{
    const size_t n = in->dataset.split_begin[LCF_VALID];
    const uint64_t dims[2] = {epochs, n};
    uint32_t *orders = lcf_alloc(epochs, n * sizeof(*orders));
    lcf_buf path = LCF_BUF_INIT;
    lcf_bundle_writer *w;
    lcf_status status;

    if (!orders)
        return LCF_FAIL(err, LCF_ENOMEM, "orders of %u epochs", epochs);
    for (uint32_t i = 0; i < epochs; i++)
        train_order(orders + i * n, n, seed, i);
    lcf_buf_printf(&path, "%s/orders.lcf", dir);
    status = lcf_bundle_create(&w, lcf_buf_text(&path), "orders", 1, err);
    if (!status) {
        status = lcf_bundle_add(w, "orders", LCF_U32, dims, 2, orders, err);
        if (status)
            lcf_bundle_abandon(w);
        else
            status = lcf_bundle_commit(w, err);
    }
    lcf_buf_dispose(&path);
    free(orders);
    return status;
}

int main(int argc, char **argv)
{
    lcf_train_options options = {
        .backbone = "din", .side = "none", .params = LCF_TRAIN_PARAMS_INIT, .seeds_n = 1};
    lcf_err err = LCF_ERR_INIT;
    train_inputs in;
    lcf_status status;

    lcf_cli_start(argc, argv);
    if (argc != 5 || !strtoul(argv[3], NULL, 10)) {
        fprintf(stderr, "usage: twin_export DATASET_DIR SEED EPOCHS OUT_DIR\n");
        return 2;
    }
    options.dataset_dir = argv[1];
    status = train_inputs_open(&in, &options, &err);
    if (!status) {
        status = export_weights(&in, strtoull(argv[2], NULL, 10), argv[4], &err);
        if (!status)
            status = export_orders(&in, strtoull(argv[2], NULL, 10),
                                   (uint32_t)strtoul(argv[3], NULL, 10), argv[4], &err);
        train_inputs_close(&in);
    }
    if (status)
        fprintf(stderr, "twin_export: %s\n", err.text);
    return status ? 1 : 0;
}
