/* make_world DIR [USERS ITEMS ROWS_PER_USER EXAMPLES DIM]: the artefacts of
 * tests/unit/rank/world.h, for shell tests of publish, rank and serve and for their benchmarks. */
#include "tests/unit/rank/world.h"

#include "common/base/file.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    world_options options = WORLD_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;

    if (argc != 2 && argc != 7) {
        fprintf(stderr, "usage: make_world DIR [USERS ITEMS ROWS_PER_USER EXAMPLES DIM]\n");
        return 2;
    }
    if (argc == 7) {
        options.users_n = strtoul(argv[2], NULL, 10);
        options.items_n = strtoul(argv[3], NULL, 10);
        options.rows_per_user = strtoul(argv[4], NULL, 10);
        options.examples_max = strtoul(argv[5], NULL, 10);
        options.text_dim = options.cot_dim = strtoul(argv[6], NULL, 10);
    }
    if (lcf_dir_create(argv[1], &err) || world_write(argv[1], &options, &err)) {
        fprintf(stderr, "make_world: %s\n", err.text);
        return 1;
    }
    return 0;
}
