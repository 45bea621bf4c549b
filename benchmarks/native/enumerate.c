/* Every program of a grammar of fewer than `high` rule bits, once, depth first: the same programs as
 * bayes_mesa/_ext/enumeration.pyx with the same bounds, as plain recursion. What is still open is a
 * list of slots on the C stack. `weigh` works out every program's bits, steps and class and adds up
 * weights; `merge` counts programs by uses, executed uses and behaviour, as the sampler's search. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { RULES = 16, SYMBOLS = 4, WIDTH = 2, NODES = 128, WORDS = 3 };
enum { EXECUTES = 1, TRAINS = 2, DEPLOYS = 4 };

typedef struct {
    int32_t start, levin;
    int32_t first[SYMBOLS + 1];    /* rules stand together by symbol, by rising least units */
    int32_t arity[RULES], args[RULES][WIDTH], handed[RULES][WIDTH];
    int32_t train[RULES], deploy[RULES]; /* 0, or 1 + objective */
    int64_t units[RULES], least[RULES], after[RULES][WIDTH];
    uint32_t shared[RULES];
    double rule_bits[RULES], bits[RULES], steps[RULES], shared_bits[32], loss_bits[RULES], exchange;
} grammar;

typedef struct slot {
    int symbol, flags;
    int64_t rest;                  /* least units of the slots after this one */
    const struct slot *next;
} slot;

typedef struct {
    int64_t units;
    uint32_t shared;
    int train, deploy;
    double bits, steps;
} partial;

typedef struct {
    const grammar *g;
    int64_t high, programs;
    double shared_sum[1 << 10], weight[3];
} weighing;

static void add_weight(weighing *w, const partial *p) {
    const grammar *g = w->g;
    double penalty = g->exchange * (g->levin ? log2(p->steps) : p->steps);
    double bits = p->bits + w->shared_sum[p->shared] + g->loss_bits[p->train - 1];
    int class = p->train == 1 ? p->deploy != 1 : 2; /* objective 0 is the base objective */
    w->weight[class] += exp2(-(bits + penalty));
    w->programs++;
}

static void weigh_open(weighing *w, const slot *open, partial so_far) {
    const grammar *g = w->g;
    for (int rule = g->first[open->symbol]; rule < g->first[open->symbol + 1]; rule++) {
        if (so_far.units + g->least[rule] + open->rest >= w->high) break;
        partial p = so_far;
        p.units += g->units[rule];
        p.shared |= g->shared[rule];
        p.bits += g->rule_bits[rule] + g->bits[rule];
        if (open->flags & EXECUTES) p.steps += g->steps[rule];
        if (open->flags & TRAINS && g->train[rule]) p.train = g->train[rule];
        if (open->flags & DEPLOYS && g->deploy[rule]) p.deploy = g->deploy[rule];
        slot below[WIDTH];
        const slot *next = open->next;
        for (int k = g->arity[rule] - 1; k >= 0; k--) {
            below[k] = (slot){g->args[rule][k], open->flags & g->handed[rule][k],
                              open->rest + g->after[rule][k], next};
            next = &below[k];
        }
        if (next)
            weigh_open(w, next, p);
        else
            add_weight(w, &p);
    }
}

int64_t weigh(const grammar *g, int64_t high, double *weight) {
    static weighing w;
    slot start = {g->start, EXECUTES | TRAINS | DEPLOYS, 0, 0};
    memset(&w, 0, sizeof w);
    w.g = g;
    w.high = high;
    for (int set = 0; set < 1 << 10; set++)
        for (int k = 0; k < 10; k++)
            if (set >> k & 1) w.shared_sum[set] += g->shared_bits[k];
    weigh_open(&w, &start, (partial){0});
    memcpy(weight, w.weight, sizeof w.weight);
    return w.programs;
}

typedef struct {
    uint64_t key[WORDS];           /* uses of 9 rules, executed uses, objectives: a byte each */
    int64_t count;
    int32_t code, nodes;           /* of the first program of the class */
} class_row;

typedef struct {
    const grammar *g;
    int64_t high, programs, classes, mask, pool_used;
    class_row *table;              /* open addressing; count 0: free */
    uint8_t *pool, code[NODES];
    uint64_t unit[RULES][8][WORDS]; /* what a node adds to the key, by rule and flags */
} merging;

static void add_program(merging *m, const uint64_t *key, int nodes) {
    uint64_t hash = 0;
    for (int k = 0; k < WORDS; k++) hash = (hash ^ key[k]) * 0x9E3779B97F4A7C15ULL;
    int64_t at = (int64_t)(hash >> 32) & m->mask;
    m->programs++;
    for (;; at = (at + 1) & m->mask) {
        class_row *row = m->table + at;
        if (!row->count) {
            memcpy(row->key, key, sizeof row->key);
            row->count = 1;
            row->code = (int32_t)m->pool_used;
            row->nodes = nodes;
            memcpy(m->pool + m->pool_used, m->code, nodes);
            m->pool_used += nodes;
            m->classes++;
            return;
        }
        if (!memcmp(row->key, key, sizeof row->key)) {
            row->count++;
            return;
        }
    }
}

static void merge_open(merging *m, const slot *open, int64_t units, const uint64_t *so_far,
                       int at) {
    const grammar *g = m->g;
    for (int rule = g->first[open->symbol]; rule < g->first[open->symbol + 1]; rule++) {
        if (units + g->least[rule] + open->rest >= m->high) break;
        uint64_t key[WORDS];
        for (int k = 0; k < WORDS; k++) key[k] = so_far[k] + m->unit[rule][open->flags][k];
        m->code[at] = (uint8_t)rule;
        slot below[WIDTH];
        const slot *next = open->next;
        for (int k = g->arity[rule] - 1; k >= 0; k--) {
            below[k] = (slot){g->args[rule][k], open->flags & g->handed[rule][k],
                              open->rest + g->after[rule][k], next};
            next = &below[k];
        }
        if (next)
            merge_open(m, next, units + g->units[rule], key, at + 1);
        else
            add_program(m, key, at + 1);
    }
}

static void add_to(uint64_t *key, int lane, uint64_t value) {
    key[lane >> 3] += value << (8 * (lane & 7));
}

/* Rows of the table that have a count are the classes. No room is looked for: the caller knows. */
int64_t merge(const grammar *g, int64_t high, class_row *table, int64_t rows, uint8_t *pool,
              int64_t *programs) {
    static merging m;
    uint64_t nothing[WORDS] = {0};
    slot start = {g->start, EXECUTES | TRAINS | DEPLOYS, 0, 0};
    memset(&m, 0, sizeof m);
    m.g = g;
    m.high = high;
    m.table = table;
    m.mask = rows - 1;
    m.pool = pool;
    for (int rule = 0; rule < g->first[SYMBOLS]; rule++)
        for (int flags = 0; flags < 8; flags++) {
            uint64_t *unit = m.unit[rule][flags];
            add_to(unit, rule, 1);
            if (flags & EXECUTES) add_to(unit, 9 + rule, 1);
            if (flags & TRAINS) add_to(unit, 18, g->train[rule]);
            if (flags & DEPLOYS) add_to(unit, 19, g->deploy[rule]);
        }
    merge_open(&m, &start, 0, nothing, 0);
    *programs = m.programs;
    return m.classes;
}
