/* SPDX-License-Identifier: MIT */
/*
 * One deposit, its messages in Redis, two workers of ours, and everybody who can
 * harm them: kills, stalls, a Python worker, kombu's restore, FLUSHALL, a
 * sweeper that publishes again. What holds and what is assumed: README.md.
 *
 * -D chooses the game:
 *   PYTHON         a Python worker plays (BRPOP, then ZADD and HSET)
 *   FLUSH          the broker may forget everything
 *   SWEEPER        the ledger's sweeper publishes what is not credited
 *   ONE_MESSAGE    one message at a time; else the deposit is published twice
 *   STALL_RUNNING  a worker may stall longer than every timeout in mid-task; a
 *                  lease cannot keep a task single then, so rule (e) is off
 *   TROUBLE=n      at most n kills, stalls, flushes and give-backs (liveness)
 * and -DBREAK_... breaks one rule, each of which must make the model fail.
 */

#ifndef STALL_RUNNING
#define RULE_ALONE
#ifndef WITHOUT_RULE_LEASE /* it breaks first where another rule is to be seen */
#define RULE_LEASE
#endif
#endif

#define NW 2          /* workers of ours */
#define NC 2          /* messages that are about at the same time */
#define NT 5          /* our tags in use at the same time; the model asserts it */
#define TAGS (NT + NC) /* then Python's: the delivery tag inside message c */

#define DEAD NW       /* owner of a claim: a worker of ours that was killed */
#define PY (NW + 1)   /* a Python worker */
#define NONE 15

#ifdef TROUBLE
byte trouble = TROUBLE;
#define MAY (trouble > 0)
#define SPEND trouble--
#else
#define MAY true
#define SPEND skip
#endif

/* The broker. A message is in a list, or in unacked under a tag. */
bit listed[NC];
byte unacked[TAGS]; /* the message + 1; 0: no such tag */
bit stale[TAGS];    /* the score is older than a peer's visibility timeout */
byte owner[TAGS];   /* the tag's first half */
bit alive[NW];      /* celery-c.alive.<uuid> */

/* The ledger. */
byte credited;

/* Our workers. */
#define IDLE 0
#define POPPED 1 /* only where the claim is not atomic */
#define RESERVED 2
#define RUNNING 3
#define ACKED 4 /* only where the ack comes first */
#define COMMITTED 5
byte phase[NW];
byte tag[NW];
byte held[NW]; /* the message + 1 */
bit parked[NW];
bit stalled[NW]; /* it waited too long since the claim */

/* The Python worker: its phase, its message + 1. */
#define PY_IDLE 0
#define PY_POPPED 1
#define PY_HELD 2
#define PY_ACKED 3 /* acks_late off: acked before it runs */
#define PY_DONE 4
byte py_phase;
byte py_held;

/* Restorers. */
byte victim = NONE; /* a stale tag that a restore has read, not yet moved */
byte judged = NONE; /* a worker found without its alive key */

/* Ghosts: what the rules speak about. */
bit live[NC]; /* published, and not acked, flushed or lost by Python */
bit never_lost = 1;      /* (a) */
bit credited_once = 1;   /* (b) */
bit acks_own_claim = 1;  /* (d) */
bit one_place = 1;       /* (e) a restore moves, it does not double */
bit runs_alone = 1;      /* (e) */
bit lease_holds = 1;     /* (f) nobody takes the claim of a worker that renews */
bit enough_tags = 1;

hidden byte i;
hidden byte t;

#define UNACKED(c)                                                             \
    ((unacked[0] == c + 1) + (unacked[1] == c + 1) + (unacked[2] == c + 1)     \
     + (unacked[3] == c + 1) + (unacked[4] == c + 1) + (unacked[5] == c + 1)   \
     + (unacked[6] == c + 1))
#define PLACES(c) (listed[c] + UNACKED(c))
#define IN_HAND(c)                                                             \
    ((held[0] == c + 1 && phase[0] == POPPED)                                  \
     || (held[1] == c + 1 && phase[1] == POPPED)                               \
     || (py_held == c + 1 && py_phase == PY_POPPED))
#define LOST(c) (live[c] && PLACES(c) == 0 && !IN_HAND(c))
#define UNUSED(c)                                                              \
    (!live[c] && PLACES(c) == 0 && held[0] != c + 1 && held[1] != c + 1        \
     && py_held != c + 1)
#define BUSY(w) (phase[w] == RUNNING || phase[w] == COMMITTED)
#define TAG_FREE(x)                                                            \
    (unacked[x] == 0 && victim != x && (phase[0] == IDLE || tag[0] != x)       \
     && (phase[1] == IDLE || tag[1] != x))

/* --- what a script does is one step ----------------------------------------- */

/* t = a tag that nobody has ever seen: here, one that nobody refers to. */
inline new_tag(c)
{
#ifdef BREAK_UNIQUE_TAG
    t = NT + c; /* the envelope's delivery tag, as kombu does */
#else
    t = 0;
    do
    :: t < NT && !TAG_FREE(t) -> t++
    :: else -> break
    od;
    enough_tags = t < NT;
    assert(enough_tags);
#endif
}

inline put(w, c)
{
    unacked[t] = c + 1;
    stale[t] = 0;
    owner[t] = w;
#ifndef BREAK_ALIVE_WITH_CLAIM
    alive[w] = 1;
#endif
}

inline remove(x)
{
    unacked[x] = 0;
    stale[x] = 0;
    owner[x] = 0;
}

inline forget(w)
{
    phase[w] = IDLE;
    tag[w] = 0;
    held[w] = 0;
    parked[w] = 0;
    stalled[w] = 0;
}

inline enter(w, c, eta)
{
    new_tag(c);
    put(w, c);
    tag[w] = t;
    held[w] = c + 1;
    parked[w] = eta;
    phase[w] = RESERVED;
}

inline claim(w, c, eta)
{
    d_step {
        phase[w] == IDLE && listed[c] -> listed[c] = 0;
#ifdef BREAK_ATOMIC_CLAIM
        held[w] = c + 1;
        parked[w] = eta;
        phase[w] = POPPED;
#else
        enter(w, c, eta);
#endif
    }
}

inline start(w)
{
    phase[w] = RUNNING;
    stalled[w] = 0;
    parked[w] = 0;
#ifdef RULE_ALONE
    runs_alone = !(BUSY(1 - w) && held[1 - w] == held[w]);
    assert(runs_alone);
#endif
}

/* A claim that waited goes on under a new tag if its tag is still there. */
inline fence(w)
{
    if
    :: unacked[tag[w]] != 0 ->
        i = held[w] - 1;
#ifndef BREAK_FENCE_RETAG
        remove(tag[w]);
        new_tag(i);
        tag[w] = t;
#else
        t = tag[w];
#endif
        put(w, i);
        start(w)
    :: else -> forget(w)
    fi
}

/* "If HDEL removed 1 then push." */
inline give_back(w)
{
    if
#ifdef BREAK_MOVE_BLIND
    :: true ->
        remove(tag[w]);
#else
    :: unacked[tag[w]] != 0 ->
        acks_own_claim = owner[tag[w]] == w;
        assert(acks_own_claim);
        remove(tag[w]);
#endif
        listed[held[w] - 1] = 1
    :: else
    fi;
    forget(w)
}

inline remove_acked(w)
{
#ifdef BREAK_ACK_BLIND
    t = 0;
    do
    :: t < TAGS ->
        if
        :: unacked[t] == held[w] ->
            acks_own_claim = owner[t] == w;
            assert(acks_own_claim);
            remove(t);
            live[held[w] - 1] = 0
        :: else
        fi;
        t++
    :: else -> break
    od
#else
    if
    :: unacked[tag[w]] != 0 ->
        acks_own_claim = owner[tag[w]] == w && unacked[tag[w]] == held[w];
        assert(acks_own_claim);
        remove(tag[w]);
        live[held[w] - 1] = 0
    :: else
    fi
#endif
}

/* The ledger's transaction. */
inline settle()
{
#ifdef BREAK_SETTLE_ONCE
    credited++;
#else
    if
    :: credited == 0 -> credited = 1
    :: else
    fi;
#endif
    credited_once = credited <= 1;
    assert(credited_once)
}

/* kombu's restore_by_tag, and ours: compares nothing. */
inline restore(x)
{
    if
    :: unacked[x] != 0 ->
#ifdef RULE_LEASE
        lease_holds = owner[x] >= NW || stalled[owner[x]];
        assert(lease_holds);
#endif
        listed[unacked[x] - 1] = 1;
        remove(x)
    :: else
    fi
}

/* --- who plays ---------------------------------------------------------------- */

proctype worker(byte w)
{
    do
    :: claim(w, 0, 0)
    :: claim(w, 0, 1)
    :: claim(w, 1, 0)
    :: claim(w, 1, 1)
#ifdef BREAK_ATOMIC_CLAIM
    :: d_step { phase[w] == POPPED -> i = held[w] - 1; enter(w, i, parked[w]) }
#endif
#ifndef BREAK_FENCE
    :: d_step { phase[w] == RESERVED && (parked[w] || stalled[w]) -> fence(w) }
    :: d_step { phase[w] == RESERVED && !parked[w] && !stalled[w] -> start(w) }
#else
    :: d_step { phase[w] == RESERVED -> start(w) }
#endif
#ifdef BREAK_ACK_BEFORE_COMMIT
    :: d_step { phase[w] == RUNNING -> remove_acked(w); phase[w] = ACKED }
    :: d_step { phase[w] == ACKED -> settle(); forget(w) }
#else
    :: d_step { phase[w] == RUNNING -> settle(); phase[w] = COMMITTED }
    :: d_step { phase[w] == COMMITTED -> remove_acked(w); forget(w) }
#endif
    /* A warm shutdown; a task that is to be tried again. */
    :: d_step { MAY && (phase[w] == RESERVED || phase[w] == RUNNING) ->
                SPEND; give_back(w) }
    :: d_step { !alive[w] -> alive[w] = 1 }
    od
}

/* kill -9 of a worker of ours; another one starts in its place. */
inline kill(w)
{
    d_step {
        MAY && phase[w] != IDLE -> SPEND;
        t = 0;
        do
        :: t < TAGS ->
            if
            :: unacked[t] != 0 && owner[t] == w -> owner[t] = DEAD
            :: else
            fi;
            t++
        :: else -> break
        od;
        if
        :: judged == w -> judged = DEAD
        :: else
        fi;
        forget(w);
        alive[w] = 1
    }
}

#ifdef STALL_RUNNING
#define MAY_STALL(w) (phase[w] != IDLE)
#else
#define MAY_STALL(w) (phase[w] == RESERVED)
#endif

/* A stalled worker's claim ages, and its alive key expires. */
inline stall(w)
{
    d_step {
        MAY && MAY_STALL(w) && unacked[tag[w]] != 0 && !stale[tag[w]] ->
        SPEND;
        stalled[w] = 1;
        stale[tag[w]] = 1
    }
}

inline expire(w)
{
    d_step {
        MAY && (phase[w] == IDLE || MAY_STALL(w)) && alive[w] -> SPEND;
        stalled[w] = phase[w] != IDLE;
        alive[w] = 0
    }
}

inline py_forget()
{
    py_phase = PY_IDLE;
    py_held = 0
}

proctype adversary()
{
    do
    :: kill(0)
    :: kill(1)
    :: stall(0)
    :: stall(1)
    :: expire(0)
    :: expire(1)
#ifdef PYTHON
    :: d_step {
        MAY && py_phase != PY_IDLE -> SPEND;
        if
        :: py_phase == PY_POPPED -> live[py_held - 1] = 0
        :: else
        fi;
        py_forget()
    }
#endif
#ifdef FLUSH
    :: d_step {
        MAY -> SPEND;
        t = 0;
        do
        :: t < TAGS -> remove(t); t++
        :: else -> break
        od;
        listed[0] = 0; listed[1] = 0;
        live[0] = 0; live[1] = 0;
        alive[0] = 0; alive[1] = 0
    }
#endif
    od
}

/* Time: who does not renew gets old. */
#define AGES(x) (unacked[x] != 0 && !stale[x] && AGES_OF(x, owner[x]))
#if defined(BREAK_RENEWAL)
#define AGES_OF(x, o) (o >= NW || (tag[o] == x && BUSY(o)))
#elif defined(BREAK_FUTURE_SCORE)
#define AGES_OF(x, o) (o >= NW || (tag[o] == x && phase[o] == RESERVED && parked[o]))
#else
#define AGES_OF(x, o) (o >= NW)
#endif

proctype time()
{
    do
    :: d_step { AGES(0) -> stale[0] = 1 }
    :: d_step { AGES(1) -> stale[1] = 1 }
    :: d_step { AGES(2) -> stale[2] = 1 }
    :: d_step { AGES(3) -> stale[3] = 1 }
    :: d_step { AGES(4) -> stale[4] = 1 }
    :: d_step { AGES(5) -> stale[5] = 1 }
    :: d_step { AGES(6) -> stale[6] = 1 }
    od
}

#define READS(x) victim == NONE && unacked[x] != 0 && stale[x] -> victim = x

/* kombu's restore_visible: reads the old tags, then moves each. Ours too. */
proctype restorer()
{
    do
    :: d_step { READS(0) }
    :: d_step { READS(1) }
    :: d_step { READS(2) }
    :: d_step { READS(3) }
    :: d_step { READS(4) }
    :: d_step { READS(5) }
    :: d_step { READS(6) }
    :: d_step { victim != NONE -> restore(victim); victim = NONE }
    od
}

#ifdef BREAK_ORPHAN_BLIND
#define STILL_DEAD true
#else
#define STILL_DEAD (judged == DEAD || !alive[judged])
#endif
#define ORPHAN(x)                                                              \
    judged != NONE && unacked[x] != 0 && owner[x] == judged && STILL_DEAD

/* Our sweep: a worker without its key is dead, its tags go back. */
proctype orphan_sweep()
{
    do
    :: d_step { judged == NONE && !alive[0] -> judged = 0 }
    :: d_step { judged == NONE && !alive[1] -> judged = 1 }
    :: d_step { judged == NONE && (
        (unacked[0] != 0 && owner[0] == DEAD) || (unacked[1] != 0 && owner[1] == DEAD)
        || (unacked[2] != 0 && owner[2] == DEAD) || (unacked[3] != 0 && owner[3] == DEAD)
        || (unacked[4] != 0 && owner[4] == DEAD) || (unacked[5] != 0 && owner[5] == DEAD)
        || (unacked[6] != 0 && owner[6] == DEAD)) -> judged = DEAD }
    :: d_step { ORPHAN(0) -> restore(0) }
    :: d_step { ORPHAN(1) -> restore(1) }
    :: d_step { ORPHAN(2) -> restore(2) }
    :: d_step { ORPHAN(3) -> restore(3) }
    :: d_step { ORPHAN(4) -> restore(4) }
    :: d_step { ORPHAN(5) -> restore(5) }
    :: d_step { ORPHAN(6) -> restore(6) }
    :: d_step { judged != NONE -> judged = NONE }
    od
}

/* Each step is one round trip. */
inline py_pop(c)
{
    d_step { py_phase == PY_IDLE && listed[c] ->
             listed[c] = 0; py_held = c + 1; py_phase = PY_POPPED }
}

inline py_ack()
{
    t = NT + py_held - 1;
    if
    :: unacked[t] != 0 ->
        acks_own_claim = owner[t] == PY;
        assert(acks_own_claim);
        remove(t);
        live[py_held - 1] = 0
    :: else
    fi
}

proctype python()
{
    do
    :: py_pop(0)
    :: py_pop(1)
    :: d_step { py_phase == PY_POPPED ->
                t = NT + py_held - 1;
                unacked[t] = py_held; stale[t] = 0; owner[t] = PY;
                py_phase = PY_HELD }
    :: d_step { py_phase == PY_HELD -> settle(); py_phase = PY_DONE }
    :: d_step { py_phase == PY_DONE -> py_ack(); py_forget() }
    :: d_step { py_phase == PY_HELD -> py_ack(); py_phase = PY_ACKED }
    :: d_step { py_phase == PY_ACKED -> settle(); py_forget() }
    od
}

inline publish(c)
{
    d_step { credited == 0 && UNUSED(c) -> listed[c] = 1; live[c] = 1 }
}

proctype sweeper()
{
    do
    :: publish(0)
#ifndef ONE_MESSAGE
    :: publish(1)
#endif
    od
}

/* Moves only when a rule is broken. */
proctype judge()
{
    if
    :: d_step { LOST(0) || LOST(1) ->
                never_lost = 0; assert(never_lost) }
    :: d_step { PLACES(0) > 1 || PLACES(1) > 1 ->
                one_place = 0; assert(one_place) }
#if !defined(FLUSH) && !defined(PYTHON)
    :: d_step { credited == 0 && !live[0] && !live[1] ->
                never_lost = 0; assert(never_lost) }
#endif
    fi
}

init
{
    atomic {
        alive[0] = 1;
        alive[1] = 1;
        listed[0] = 1;
        live[0] = 1;
#ifndef ONE_MESSAGE
        listed[1] = 1; /* published twice */
        live[1] = 1;
#endif
        run worker(0);
        run worker(1);
        run adversary();
        run time();
#ifndef BREAK_NO_RESTORE
        run restorer();
        run orphan_sweep();
#endif
#ifdef PYTHON
        run python();
#endif
#if defined(SWEEPER) && !defined(BREAK_NO_SWEEPER)
        run sweeper();
#endif
        run judge()
    }
}

#ifdef TROUBLE
ltl in_the_end { <> (credited == 1) }
#endif
