/*
 * The words of the simulated shop: departments with their products, brands, and, for both poles of
 * every style dimension, title words, a category and phrases. All names are invented.
 */
#ifndef LCF_OFFLINE_DATA_SIM_WORDS_H
#define LCF_OFFLINE_DATA_SIM_WORDS_H

#define LCF_SIM_STYLES 6
#define LCF_SIM_DEPARTMENTS 12
#define LCF_SIM_NOUNS 8
#define LCF_SIM_BRANDS 36
#define LCF_SIM_POLE_WORDS 5
#define LCF_SIM_PHRASES 2

typedef struct lcf_sim_department {
    const char *name;  /* also a category */
    const char *scene; /* "for <scene>" in texts */
    const char *nouns[LCF_SIM_NOUNS];
} lcf_sim_department;

typedef struct lcf_sim_pole {
    const char *category;
    const char *words[LCF_SIM_POLE_WORDS]; /* of titles */
    const char *phrases[LCF_SIM_PHRASES];  /* "It <phrase>." */
} lcf_sim_pole;

extern const lcf_sim_department LCF_SIM_DEPARTMENT[LCF_SIM_DEPARTMENTS];
/* [style][0] where the latent is positive, [style][1] where it is negative. */
extern const lcf_sim_pole LCF_SIM_POLE[LCF_SIM_STYLES][2];
extern const char *const LCF_SIM_BRAND[LCF_SIM_BRANDS];
/* Styles in the order in which their words stand before a noun: opinion, size, season, colour,
 * material. */
extern const int LCF_SIM_WORD_ORDER[LCF_SIM_STYLES];

#endif
