/*
 * Bundles for fuzz targets: a mutation of a file that is checked would never get beyond its
 * checksums.
 */
#ifndef LCF_TESTS_FUZZ_BUNDLE_H
#define LCF_TESTS_FUZZ_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

/* Checksums of what lies within the file. */
void fuzz_bundle_mend(uint8_t *file, size_t size);

#endif
