/*
 * LoRA adapters as files: GGUF in llama.cpp's layout. general.type is `adapter`, adapter.type
 * `lora`, adapter.lora.alpha its scale times the rank; the tensors of matrix NAME.weight are
 * NAME.weight.lora_a [rank, in] and NAME.weight.lora_b [out, rank].
 *
 * We add llmcf.adapter.base, the id of the model that the adapter was trained for (lcf_llama.id):
 * an adapter that has it is refused for any other. source: schemas/adapter.md
 */
#ifndef LCF_OFFLINE_LLAMA_ADAPTER_H
#define LCF_OFFLINE_LLAMA_ADAPTER_H

#include "offline/llama/llama_train.h"

typedef struct lcf_adapter lcf_adapter;

/* errors: as lcf_gguf_open; EFORMAT no adapter, a tensor without its other half or misshapen
 * (named); EUNSUPPORTED ranks or matrices differ between tensors (named) */
lcf_status lcf_adapter_open(lcf_adapter **out, const char *path, lcf_err *err);
void lcf_adapter_close(lcf_adapter *a);
/* Rank, alpha and targets of a trainer that can hold it; `targets` lives as long as the adapter. */
void lcf_adapter_options(lcf_lora_options *options, const lcf_adapter *a);
/* Puts its values into a trainer made with these options (and a dropout of any kind).
 * errors: EFORMAT it is for another base model (both named), or shapes differ (named) */
lcf_status lcf_adapter_put(lcf_llama_trainer *t, const lcf_adapter *a, lcf_err *err);
/* Writes the adapters of a trainer, as F32. */
lcf_status lcf_adapter_save(const char *path, const lcf_llama_trainer *t, const char *name,
                            lcf_err *err);

#endif
