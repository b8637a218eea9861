/* Fuzz target: a LoRA adapter (GGUF). Whatever is accepted is put into a trainer of its shape. */
#include "offline/llama/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The shapes of schemas/examples/adapter.gguf. */
static const lcf_llama_config config = {.vocab_n = 8,
                                        .dim = 24,
                                        .layers_n = 2,
                                        .heads_n = 4,
                                        .kv_heads_n = 2,
                                        .head_dim = 6,
                                        .ffn_dim = 40,
                                        .context_n = 64,
                                        .rope_theta = 10000.0f,
                                        .norm_eps = 1e-5f,
                                        .tied = true};

static void use(const lcf_adapter *a)
{
    lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *t;

    lcf_adapter_options(&options.lora, a);
    if (!options.lora.rank || !options.lora.targets[0])
        abort();
    if (options.lora.rank > 64 || lcf_llama_trainer_create(&t, &config, &options, NULL))
        return;
    (void)!lcf_adapter_put(t, a, NULL);
    lcf_llama_trainer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lcf_adapter *a;
    char path[64];
    int fd = memfd_create("adapter", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!lcf_adapter_open(&a, path, NULL)) {
        use(a);
        lcf_adapter_close(a);
    }
    close(fd);
    return 0;
}
