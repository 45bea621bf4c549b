/* The same moves over the same programs as bayes_mesa/_ext/tempered.pyx, as a plain C loop: flat
 * prefix codes, one theta, no facts. The costs of a proposal are summed over all of its nodes;
 * sets of shared components are words of bits, and at most two arguments are put on a stack without a
 * branch. Its own generator, inlined; no Python, no counters. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { RULES = 16, SYMBOLS = 4, WIDTH = 2, NODES = 512, REPLICAS = 32 };
enum { REGENERATE, INSERT, DELETE, SWAP, JUMP, MOVES };

typedef struct {
    int32_t start, max_nodes, levin;
    int32_t symbol[RULES], arity[RULES], args[RULES][WIDTH], executes[RULES][WIDTH];
    int32_t train[RULES], deploy[RULES];       /* position of an argument, or -1 - objective */
    int32_t first[SYMBOLS + 1];                /* rules stand together by symbol */
    int32_t first_wrap[SYMBOLS + 1], wrap_rule[RULES * WIDTH], wrap_place[RULES * WIDTH];
    int32_t inner[RULES], peers[RULES], peer[RULES][RULES];
    uint8_t guide[SYMBOLS][256];
    uint32_t shared[RULES];                    /* set of shared components */
    double cumulative[RULES], wrap_cumulative[RULES * WIDTH], log_wrap[SYMBOLS];
    double log_base[RULES], bits[RULES], steps[RULES]; /* of unshared components */
    double shared_bits[32], loss[RULES];
    double exchange;                           /* kappa / ln 2, or 1 / rate */
    double moves[MOVES], log_back;
    double log_whole[NODES];                   /* log n */
} target;

typedef struct { uint64_t s[4]; } rng;

typedef struct {
    int size;
    uint8_t code[NODES];
    double bits, steps, energy;
} program;

/* xoshiro256++ (Blackman and Vigna 2019). */
static inline uint64_t rotated(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

static inline uint64_t word(rng *r) {
    uint64_t *s = r->s, found = rotated(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return found;
}

static inline double uniform(rng *r) { return (word(r) >> 11) * 0x1p-53; }

/* Without rejection: the bias is below 2^-50 for counts as small as these. */
static inline int pick(rng *r, int count) {
    return (int)(((unsigned __int128)word(r) * (uint64_t)count) >> 64);
}

static inline int choose(rng *r, const double *cumulative, int count) {
    double u = uniform(r);
    int k = 0;
    while (k < count - 1 && u >= cumulative[k]) k++;
    return k;
}

/* A rule of the symbol: from the last one that ends before the word's first byte. */
static inline int choose_rule(const target *t, rng *r, int symbol) {
    uint64_t w = word(r);
    double u = (w >> 11) * 0x1p-53;
    int rule = t->guide[symbol][w >> 56];
    while (rule < t->first[symbol + 1] - 1 && u >= t->cumulative[rule]) rule++;
    return rule;
}

static int subtree_end(const target *t, const uint8_t *code, int at) {
    int open = 1;
    while (open) open += t->arity[code[at++]] - 1;
    return at;
}

static int argument(const target *t, const uint8_t *code, int at, int place) {
    at++;
    while (place--) at = subtree_end(t, code, at);
    return at;
}

static int objective(const target *t, const uint8_t *code, const int32_t *decides) {
    int at = 0, d = decides[code[0]];
    while (d >= 0) {
        at = argument(t, code, at, d);
        d = decides[code[at]];
    }
    return -1 - d;
}

/* A fresh subtree at `at`; where it ends, or -1. */
static int generate(const target *t, rng *r, int symbol, uint8_t *code, int at, int limit) {
    int stack[NODES + WIDTH], depth = 1;
    stack[0] = symbol;
    while (depth) {
        if (at + depth > limit) return -1;
        symbol = stack[--depth];
        int rule = choose_rule(t, r, symbol);
        code[at++] = (uint8_t)rule;
        stack[depth] = t->args[rule][1];
        stack[depth + (t->arity[rule] == 2)] = t->args[rule][0];
        depth += t->arity[rule];
    }
    return at;
}

/* Bits, steps and energy of the whole program. */
static void evaluate(const target *t, program *p) {
    uint8_t stack[NODES + WIDTH];
    int depth = 1;
    uint32_t shared = 0;
    double bits = 0.0, steps = 0.0;
    stack[0] = 1;
    for (int at = 0; at < p->size; at++) {
        int rule = p->code[at], executed = stack[--depth];
        shared |= t->shared[rule];
        bits += t->bits[rule];
        steps += executed * t->steps[rule];
        stack[depth] = executed & t->executes[rule][1];
        stack[depth + (t->arity[rule] == 2)] = executed & t->executes[rule][0];
        depth += t->arity[rule];
    }
    for (; shared; shared &= shared - 1) bits += t->shared_bits[__builtin_ctz(shared)];
    p->bits = bits;
    p->steps = steps;
    double penalty = t->exchange * (t->levin ? log(steps) : steps);
    p->energy = M_LN2 * (bits + penalty) + t->loss[objective(t, p->code, t->train)];
}

static int accept(rng *r, double log_ratio) {
    return log_ratio >= 0.0 || uniform(r) < exp(log_ratio);
}

/* The program with new nodes at .. new_end in place of at .. end, which the caller has filled in. */
static void splice(program *new, const program *old, int at, int end, int new_end) {
    memcpy(new->code, old->code, at);
    memcpy(new->code + new_end, old->code + end, old->size - end);
    new->size = old->size + new_end - end;
}

/* Propose; the logarithm of the Hastings ratio, or NaN where there is nothing to propose. */
static double propose(const target *t, rng *r, int move, const program *old, program *new) {
    int at = move == JUMP ? 0 : pick(r, old->size), rule = old->code[at];
    int symbol = t->symbol[rule], end, new_end, n = old->size;
    if (move == SWAP) {
        if (!t->peers[rule]) return NAN;
        new->code[at] = (uint8_t)t->peer[rule][pick(r, t->peers[rule])];
        splice(new, old, at, at + 1, at + 1);
        return t->log_base[new->code[at]] - t->log_base[rule];
    }
    end = subtree_end(t, old->code, at);
    if (move == REGENERATE || move == JUMP) {
        new_end = generate(t, r, symbol, new->code, at, t->max_nodes - (n - end));
        if (new_end < 0) return NAN;
        if (new_end == end && !memcmp(new->code + at, old->code + at, end - at)) return NAN;
        splice(new, old, at, end, new_end);
        return move == JUMP ? 0.0 : t->log_whole[n] - t->log_whole[new->size];
    }
    if (move == INSERT) {
        int first = t->first_wrap[symbol], count = t->first_wrap[symbol + 1] - first;
        int limit = t->max_nodes - (n - end), length = end - at;
        if (!count) return NAN;
        int wrap = first + choose(r, t->wrap_cumulative + first, count);
        int outer = t->wrap_rule[wrap], place = t->wrap_place[wrap];
        new->code[at] = (uint8_t)outer;
        new_end = at + 1;
        for (int k = 0; k < t->arity[outer]; k++) {
            if (k == place) {
                if (new_end + length > limit) return NAN;
                memcpy(new->code + new_end, old->code + at, length);
                new_end += length;
            } else {
                new_end = generate(t, r, t->args[outer][k], new->code, new_end,
                                   k < place ? limit - length : limit);
                if (new_end < 0) return NAN;
            }
        }
        splice(new, old, at, end, new_end);
        return t->log_back + t->log_wrap[symbol] + t->log_whole[n] - t->log_whole[new->size]
            - t->log_whole[t->inner[outer]];
    }
    int count = t->inner[rule], which, place = 0;
    if (!count) return NAN;
    which = pick(r, count);
    while (t->args[rule][place] != symbol || which--) place++;
    int begin = argument(t, old->code, at, place);
    int length = subtree_end(t, old->code, begin) - begin;
    memcpy(new->code + at, old->code + begin, length);
    splice(new, old, at, end, at + length);
    return t->log_whole[n] - t->log_whole[new->size] + t->log_whole[count] - t->log_back
        - t->log_wrap[symbol];
}

typedef struct {
    rng r;
    int replicas, parity;
    program *state[REPLICAS], *spare;
    program room[REPLICAS + 1];
} chain;

int chain_size(void) { return sizeof(chain); }

/* Every replica at the same program. */
void begin(const target *t, chain *c, const uint64_t *seed, const uint8_t *start, int size,
           int replicas) {
    memcpy(c->r.s, seed, sizeof c->r.s);
    c->replicas = replicas;
    c->parity = 0;
    c->spare = c->room + replicas;
    for (int k = 0; k < replicas; k++) {
        c->state[k] = c->room + k;
        c->state[k]->size = size;
        memcpy(c->state[k]->code, start, size);
        evaluate(t, c->state[k]);
    }
}

/* A round is `proposals` moves of the mixture and a jump for every replica, then swaps of
 * neighbours; after each the first replica's bits, steps, size, and objectives. */
void run(const target *t, chain *c, const double *ladder, int64_t rounds, int proposals,
         double *bits, double *steps, int32_t *sizes, int32_t *trains, int32_t *deploys) {
    program **state = c->state, *other;
    for (int64_t round = 0; round < rounds; round++) {
        for (int k = 0; k < c->replicas; k++)
            for (int i = 0; i <= proposals; i++) {
                int move = i < proposals ? choose(&c->r, t->moves, MOVES) : JUMP;
                double log_hastings = propose(t, &c->r, move, state[k], c->spare);
                if (isnan(log_hastings)) continue;
                evaluate(t, c->spare);
                double gap = c->spare->energy - state[k]->energy;
                if (accept(&c->r, log_hastings - ladder[k] * gap)) {
                    other = state[k];
                    state[k] = c->spare;
                    c->spare = other;
                }
            }
        for (int k = c->parity; k < c->replicas - 1; k += 2) {
            double gap = state[k]->energy - state[k + 1]->energy;
            if (accept(&c->r, (ladder[k] - ladder[k + 1]) * gap)) {
                other = state[k];
                state[k] = state[k + 1];
                state[k + 1] = other;
            }
        }
        c->parity ^= 1;
        bits[round] = state[0]->bits;
        steps[round] = state[0]->steps;
        sizes[round] = state[0]->size;
        trains[round] = objective(t, state[0]->code, t->train);
        deploys[round] = objective(t, state[0]->code, t->deploy);
    }
}
