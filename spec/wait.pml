/*
 * wait.pml: a session that looks in vain and sleeps, against commits and
 * aborts that bring what it waits for.
 *
 * What each part stands for, the claims, and the switches, each of which takes
 * out or moves one line: README.md.
 */
#ifndef RECEIVERS
#define RECEIVERS	2
#endif
#define SENDERS		2
#define ITEMS		3
#define NOBODY		255

/* addresses: two queues, and the life of the workflow, which wakes all */
#define QUEUE_A		0
#define QUEUE_B		1
#define LIFE		2
#define ADDRESSES	3

/* items: their queues, and what has become of them */
#define queue_of(i)	((i) == 0 -> QUEUE_B : QUEUE_A)
mtype = { absent, free, held, gone };
mtype item[ITEMS] = absent;
bool ended = false;					/* the workflow */

/* the registry: shared/waiter.c */
byte arrivals[ADDRESSES];
byte reconciles;
byte nlinks[ADDRESSES];				/* the atomic */
byte length[ADDRESSES];				/* of the list, under the lock */
byte list[9];						/* by address and place: who is linked */
byte sharers[ADDRESSES];			/* the partition locks */
bool signalled[RECEIVERS];
bool latch[RECEIVERS];
bool sleeps[RECEIVERS];

/* what happens to a receiver, beside what the senders do */
#define nothing				0
#define gives_back			1
#define fails_in_loop		2
#define fails_in_look		3
#define fails_in_take		4
#define reaches_deadline	5
#define has_strange_latch	6

/* what the two senders do, as "init" chooses */
mtype = { none, one_to_a, one_to_b, two_to_a, end_of_workflow,
	prepared_elsewhere };
mtype deed[SENDERS];

bool at_rest = false;

/* who waits where: the first at both queues; all at the life */
#define waits_at(r, a)	((a) != QUEUE_B || (r) == 0)
#define purposes(r)		((r) == 0 -> 2 : 1)

/* ----- dwf_waiter_wake ----- */

/*
 * A process that changes a list holds the lock alone, and changes the list and
 * nlinks; no other process sees what is in between: one step.
 */
/* Signal one waiter; skip it if it is signalled (W3) */
inline signal(w)
{
		if
		:: signalled[w] ->
#ifdef WITHOUT_SKIPPING_SIGNALLED
			left--;
#endif
			skip
		:: else ->
#ifdef WITHOUT_FLAG_BEFORE_LATCH
			latch[w] = true;
			pending = pending | (1 << w);
#else
			signalled[w] = true;
			pending = pending | (1 << w);
#endif
			woken++;
			if
#ifndef WITHOUT_QUOTA
			:: a != LIFE -> left--
#endif
			:: else -> skip
			fi
		fi
}

/* Set the latches that were noted, after the lock is released (W6) */
inline set_latches()
{
	k = 0;
	do
	:: k < RECEIVERS ->
		if
		:: (pending & (1 << k)) != 0 ->
#ifdef WITHOUT_FLAG_BEFORE_LATCH
			signalled[k] = true
#else
			latch[k] = true
#endif
		:: else -> skip
		fi;
		k++
	:: else -> break
	od
}

/* Walk a list under its lock, waiter by waiter, then set the latches */
inline walk()
{
	do
	:: atomic {
		k < length[a] && left > 0 ->
		sharers[a] = sharers[a] + (k == 0 -> 1 : 0);
		w = list[a * RECEIVERS + k];
		signal(w);
		k++
	}
	:: atomic {
		!(k < length[a] && left > 0) ->
		sharers[a] = sharers[a] - (k == 0 -> 0 : 1);
		/* W3: an arrival at a queue wakes one */
		assert(a == LIFE || woken <= times);
		set_latches();
		a = 0; left = 0; woken = 0; k = 0; w = 0; pending = 0;
		break
	}
	od
}

/* Wake for n arrivals at an address; at the life of a workflow, all */
inline wake(address, arrived)
{
	atomic {
		a = address;
		times = arrived;
		left = arrived;
#ifndef WITHOUT_COUNTING
#ifndef WITHOUT_COUNTING_FIRST
		arrivals[a]++
#endif
#endif
	}
	if
	:: nlinks[a] == 0 -> skip
	:: nlinks[a] != 0 -> walk()
	fi;
#ifdef WITHOUT_COUNTING_FIRST
	arrivals[address]++;
#endif
	atomic { a = 0; left = 0; times = 0 }
}

/*
 * Wake all of the database, who are all linked to the life of the workflow:
 * dwf_waiter_wake_database
 */
inline wake_database()
{
	atomic {
		a = LIFE;
		left = 1;
#ifndef WITHOUT_RECONCILES
		reconciles++
#endif
	}
	if
	:: nlinks[a] == 0 -> skip
	:: nlinks[a] != 0 -> walk()
	fi;
	atomic { a = 0; left = 0 }
}

/* what each process that wakes needs for itself */
#define WAKER \
	byte a = 0; byte times = 0; byte left = 0; byte woken = 0; byte k = 0; \
	byte w = 0; byte pending = 0

/* ----- a sender ----- */

/* The transaction leaves the proc array: all at once */
inline become_visible()
{
	atomic {
		if
		:: deed[s] == none -> skip
		:: deed[s] == one_to_a -> item[s + 1] = free
		:: deed[s] == one_to_b -> item[0] = free
		:: deed[s] == two_to_a -> item[1] = free; item[2] = free
		:: deed[s] == end_of_workflow -> ended = true
		:: deed[s] == prepared_elsewhere -> item[s + 1] = free
		fi
	}
}

/* The commit callback: dwf_wakeup_end_xact */
inline announce()
{
	if
	:: deed[s] == none -> skip
	:: deed[s] == one_to_a -> wake(QUEUE_A, 1)
	:: deed[s] == one_to_b -> wake(QUEUE_B, 1)
	:: deed[s] == two_to_a -> wake(QUEUE_A, 2)
	:: deed[s] == end_of_workflow -> wake(LIFE, 1)
	:: deed[s] == prepared_elsewhere -> wake_database()
	fi
}

proctype sender(byte s)
{
	WAKER;

#ifdef WITHOUT_WAKING_LAST
	announce();
	become_visible()
#else
	become_visible();
	announce()
#endif
}

/* ----- a receiver ----- */

/* An interrupt, or an error */
inline may_fail(how)
{
	if
	:: fate == how -> goto leave
	:: else
	fi
}

/*
 * Look: take a snapshot, and take the first item in it that is not locked.
 * The take is noted before the lock (I3).
 */
inline look()
{
	atomic {
		saw_end = ended;
		snapshot = 0;
		i = 0;
		do
		:: i < ITEMS ->
			if
			:: (item[i] == free || item[i] == held) &&
				waits_at(r, queue_of(i)) -> snapshot = snapshot | (1 << i)
			:: else -> skip
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		may_fail(fails_in_look)
	};
	do
	:: atomic {
		snapshot != 0 ->
		do
		:: (snapshot & (1 << i)) == 0 -> i++
		:: else -> break
		od;
		if
		:: item[i] == free ->
			item[i] = held;
			mine = i;
			i = 0;
			snapshot = 0;
#ifdef WITHOUT_NOTE_BEFORE_TAKE
			may_fail(fails_in_take);
			noted = true;
#else
			noted = true;
			may_fail(fails_in_take);
#endif
			break
		:: else ->
			snapshot = snapshot & ~(1 << i);
			i = 0
		fi
	}
	:: snapshot == 0 -> break
	od
}

inline count_arrivals(into)
{
	atomic {
		into = reconciles + arrivals[QUEUE_A] + arrivals[LIFE];
		if
		:: waits_at(r, QUEUE_B) -> into = into + arrivals[QUEUE_B]
		:: else -> skip
		fi
	}
}

/* Put a link into its bucket: dwf_waiter_begin */
inline link(address)
{
	atomic {
		sharers[address] == 0 ->
		list[address * RECEIVERS + length[address]] = r;
		length[address]++;
		nlinks[address]++
	}
}

/* Take it out: dwf_waiter_end */
inline unlink(address)
{
	atomic {
		sharers[address] == 0 ->
		do
		:: list[address * RECEIVERS + i] != r -> i++
		:: else -> break
		od;
		do
		:: i + 1 < length[address] ->
			list[address * RECEIVERS + i] = list[address * RECEIVERS + i + 1];
			i++
		:: else -> break
		od;
		length[address]--;
		list[address * RECEIVERS + length[address]] = 0;
		nlinks[address]--;
		i = 0
	}
}

/* How many signals have come that are not used up: W4 */
inline count_signals()
{
	atomic {
		signals = (in_use -> 1 : 0) + (signalled[r] -> 1 : 0);
		signalled[r] = false;
		in_use = false
	}
}

proctype receiver(byte r; byte fate)
{
	WAKER;
	byte i = 0, snapshot = 0;
	byte mine = NOBODY;				/* the item that this session holds */
	byte before = 0, now = 0, signals = 0;
	bool noted = false, saw_end = false, registered = false;
	bool first, taken, in_use = false, expired = false;

	/* dwf_wait: the first look is before the registration */
#ifndef WITHOUT_COUNTS_BEFORE_LOOK
	count_arrivals(before);
#endif
	look();
	if
	:: mine != NOBODY || saw_end -> goto leave
	:: else
	fi;
#ifdef WITHOUT_COUNTS_BEFORE_LOOK
	count_arrivals(before);
#endif

	/* begin, still_knows */
#ifdef WITHOUT_COUNTS_AFTER_REGISTRATION
	count_arrivals(now);
#endif
	atomic { signalled[r] = false; registered = true };
	link(QUEUE_A);
	if
	:: waits_at(r, QUEUE_B) -> link(QUEUE_B)
	:: else
	fi;
	link(LIFE);
#ifndef WITHOUT_COUNTS_AFTER_REGISTRATION
	count_arrivals(now);
#endif
#ifdef WITHOUT_SECOND_LOOK
	first = false;
#else
	atomic { first = (now != before); now = 0; before = 0 };
#endif

	/* wait_registered */
	do
	:: true ->
#ifndef WITHOUT_RESET_FIRST
		latch[r] = false;
#endif
		atomic {
			may_fail(fails_in_loop);
#ifdef WITHOUT_TAKING_BEFORE_LOOK
			taken = signalled[r]
#else
			taken = signalled[r];
			signalled[r] = false;
			in_use = in_use || taken
#endif
		};
		if
		:: first || taken || expired ->
			look();
#ifdef WITHOUT_TAKING_BEFORE_LOOK
			signalled[r] = false;
#endif
			/* dwf_waiter_settle_signal: W4 */
			atomic {
			if
			:: mine == NOBODY -> in_use = false
#ifdef WITHOUT_COUNTING_PURPOSES
			:: mine != NOBODY && !first -> in_use = false
#else
			:: mine != NOBODY && purposes(r) == 1 && !first -> in_use = false
#endif
#ifdef WITHOUT_COUNTING_REASONS
			:: mine != NOBODY && purposes(r) == 1 && first -> in_use = false
#endif
			:: else -> skip
			fi;
			if
			:: mine != NOBODY || saw_end || expired -> goto leave
			:: else -> first = false; taken = false
			fi
			}
		:: else -> skip
		fi;
#ifdef WITHOUT_RESET_FIRST
		latch[r] = false;
#endif

		/* dwf_client_sleep; I6: nothing is held across it */
		assert(mine == NOBODY && !noted);
		sleeps[r] = true;
end_sleep:
		atomic {
			if
			:: latch[r] -> skip
			:: fate == reaches_deadline -> expired = true
			:: fate == has_strange_latch -> fate = nothing
			fi;
			sleeps[r] = false
		}
	od;

leave:
	atomic {
		i = 0; snapshot = 0; saw_end = false; taken = false; first = false;
		expired = false; before = 0; now = 0
	};

	/* dwf_waiter_end, in PG_FINALLY */
	if
	:: registered ->
#ifdef WITHOUT_LEAVING_BEFORE_TEST
		count_signals();
#endif
#ifndef WITHOUT_UNREGISTERING
		unlink(QUEUE_A);
		if
		:: waits_at(r, QUEUE_B) -> unlink(QUEUE_B)
		:: else
		fi;
		unlink(LIFE);
#endif
#ifndef WITHOUT_LEAVING_BEFORE_TEST
		count_signals();
#endif
#ifndef WITHOUT_PASSING_ON
		if
		:: signals > 0 ->
			wake(QUEUE_A, signals);
			if
			:: waits_at(r, QUEUE_B) -> wake(QUEUE_B, signals)
			:: else
			fi
		:: else -> skip
		fi;
#endif
		atomic { signals = 0; registered = false };
	:: else -> skip
	fi;

	/* the end of the transaction: an abort gives back what it held */
	if
	:: mine == NOBODY -> skip
	:: mine != NOBODY && !noted ->
		/* an error between the lock and the note */
		item[mine] = free
	:: mine != NOBODY && noted ->
		if
		:: fate != gives_back -> item[mine] = gone
		:: else ->
#ifdef WITHOUT_WAKING_LAST
			wake(queue_of(mine), 1);
			item[mine] = free
#else
			item[mine] = free;
#ifndef WITHOUT_WAKE_AT_ABORT
			wake(queue_of(mine), 1)
#endif
#endif
		fi
	fi
}

/* ----- all of it ----- */

#define is_free(q) \
	(((q) == QUEUE_A && (item[1] == free || item[2] == free)) || \
	 ((q) == QUEUE_B && item[0] == free))

/* Nothing can happen any more: no session sleeps beside what it waits for */
active proctype monitor()
{
	byte r;
	byte sleeping = 0;

	timeout;
	atomic {
		for (r : 0 .. RECEIVERS - 1) {
			sleeping = sleeping + sleeps[r];
			assert(!(sleeps[r] && ended));
			assert(!(sleeps[r] && is_free(QUEUE_A)));
			assert(!(sleeps[r] && waits_at(r, QUEUE_B) && is_free(QUEUE_B)))
		}
		/* who has left has left no link */
		for (r : 0 .. ADDRESSES - 1) {
			assert(nlinks[r] <= sleeping)
		}
		at_rest = true
	}
}

init
{
	byte fate = nothing, other = nothing;

	atomic {
		deed[0] = one_to_a;
		if
		:: deed[0] = none; deed[1] = prepared_elsewhere
		:: deed[1] = none;
			if
			:: fate = gives_back
			:: other = gives_back
			:: fate = fails_in_take
			:: other = fails_in_take
			:: fate = has_strange_latch
			fi
		:: deed[0] = two_to_a; deed[1] = none
		:: deed[1] = one_to_b;
			if
			:: true
			:: fate = fails_in_look
			:: fate = reaches_deadline
			fi
		:: deed[1] = end_of_workflow
		:: deed[1] = one_to_a;
			if
			:: true
			:: fate = gives_back
			:: fate = fails_in_loop
			:: fate = fails_in_look
			fi
		fi;
		run sender(0);
		run sender(1);
		run receiver(0, fate);
		run receiver(1, other);
		fate = nothing;
		other = nothing
	}
}
