/*
 * suspend.pml: workflows that are suspended, against commits that bring what
 * they wait for, the ring of news, passes, and the worker's death.
 *
 * What each part stands for, the claims, and the switches: README.md.
 */
#define WORKFLOWS	2		/* workflow w waits for what comes to address w */
#define ADDRESSES	3		/* the third is expected, but nothing waits there */
#define RING		2		/* so many news fit into the ring, ... */
#define INBOX		1		/* ... and into the worker's inbox */

/* the tables */
mtype = { running, waiting, pending };
mtype status[WORKFLOWS] = running;
bool row[WORKFLOWS];				/* in durable_wf.wait */
bool there[ADDRESSES];				/* visible, and not locked */

/* shared memory: expected.c */
bool expected[ADDRESSES];

/* shared memory: news.c; one step is what is done under the lock */
bool has_worker;
bool in_ring[ADDRESSES];
byte used;
bool lost[ADDRESSES];
bool lost_all;
bool urgent;						/* this batch is */
bool tagged[ADDRESSES];				/* news of this batch */
bool latch;							/* the worker's */

/* a workflow of a client: its claim, and a session that waits in its queue */
bool is_client;						/* the first workflow is */
bool claimed;
bool queue_signal;

byte deaths;						/* the worker may still die so often */
bool listened;						/* a session listens to all workflows */
bool at_rest = false;

#define CLEAR(a)	a[0] = false; a[1] = false; a[2] = false
#define is_idle	(used == 0 && !lost_all && !lost[0] && !lost[1] && !lost[2])

/* ----- a session that suspends: suspend.c ----- */

proctype suspender(byte w)
{
	/* write_suspension */
#ifndef WITHOUT_EXPECTING
#ifndef WITHOUT_EXPECTING_FIRST
	expected[w] = true;
#endif
#endif
	atomic { status[w] = waiting; row[w] = true };

	/* peek: the last look */
#ifndef WITHOUT_LAST_LOOK
	if
	:: there[w] ->
		/* dwf_store_unsuspend */
		atomic { status[w] = running; row[w] = false };
		goto done
	:: else
	fi;
#endif
#ifdef WITHOUT_EXPECTING_FIRST
	expected[w] = true;
#endif

	/* leave_body, or leave_client */
	if
	:: is_client ->
#ifdef WITHOUT_CLAIM_FIRST
		if
		:: status[0] != waiting -> queue_signal = true
		:: else
		fi;
		claimed = false
#else
		claimed = false;
#ifndef WITHOUT_WAKE_OF_QUEUE
		if
		:: status[0] != waiting -> queue_signal = true
		:: else
		fi
#endif
#endif
	:: else
	fi;
done:
	skip
}

/* A session in wf_attach_next: wait.c, with the signals of waiter.c */
proctype attacher()
{
	do
	:: true ->
		queue_signal = false;
		if
		:: atomic { status[0] == pending && !claimed ->
				status[0] = running; break }
		:: !(status[0] == pending && !claimed) -> skip
		fi;
end_sleep:
		queue_signal
	od
}

/* ----- a commit, or an abort that gives back: wakeup.c ----- */

/* dwf_news_put, or dwf_news_lose; dwf_news_close */
inline tell(k)
{
	atomic {
		if
		:: !has_worker -> skip
		:: else ->
			was_idle = is_idle;
			was_calm = !urgent;
			if
			:: used < RING ->
				in_ring[k] = true;
				used++;
				tagged[k] = true
			:: else ->
#ifndef WITHOUT_LOSING
				lost[k] = lost[k] || expects
#endif
				skip
			fi;
			urgent = urgent || expects;
			if
#ifdef WITHOUT_LATCH_WHEN_URGENT
			:: was_idle && !is_idle -> latch = true
#else
			:: (was_idle && !is_idle) || (was_calm && urgent) -> latch = true
#endif
			:: else
			fi;
			was_idle = false;
			was_calm = false
		fi
	}
}

proctype sender(byte k)
{
	bool expects, was_idle, was_calm;

#ifdef WITHOUT_NEWS_LAST
	expects = expected[k];
	there[k] = true;
#else
	there[k] = true;
	expects = expected[k];
#endif

	/* tell_worker */
	if
	:: !expects && !listened -> skip
	:: (expects || listened) ->
#ifdef WITHOUT_URGENT_AGAIN
		if
		:: tagged[k] -> skip
		:: !tagged[k] -> tell(k)
		fi
#else
		if
		:: tagged[k] && (!expects || urgent) -> skip
		:: !(tagged[k] && (!expects || urgent)) -> tell(k)
		fi
#endif
	fi;
	expects = false
}

/* Another session takes what has come, once */
proctype taker(byte k)
{
end_taker:
	atomic { there[k] -> there[k] = false }
}

/* COMMIT PREPARED in a session that has not the notes: dwf_workers_recheck */
proctype other_session(byte k)
{
	there[k] = true;
#ifndef WITHOUT_LOSING_ALL
	atomic {
		if
		:: has_worker -> lost_all = true; urgent = true; latch = true
		:: else
		fi
	}
#endif
}

/* ----- the worker: worker.c, suspended.c, inbox.c ----- */

#define lost_any	(next_all || next_lost[0] || next_lost[1] || next_lost[2])
#define passes		(pass_all || pass_lost[0] || pass_lost[1] || pass_lost[2])

/* The worker dies: its memory is gone, its ring is given back */
inline may_die()
{
	if
	:: deaths > 0 -> deaths--; goto dead
	:: true
	fi
}

/* dwf_store_resume, and the wake of the workflow's queue at its commit */
inline resume(w)
{
	atomic {
		if
		:: status[w] == waiting ->
			status[w] = pending;
			row[w] = false;
			resumed = true
		:: else
		fi
	};
	atomic {
		if
		:: resumed && w == 0 -> queue_signal = true
		:: else
		fi;
		resumed = false
	}
}

/* A page of a pass: list_page, then dwf_piece_resume */
inline page(w)
{
#ifdef WITHOUT_EXPECTING_IN_PASS
	seen = row[w];
#else
	atomic {
		seen = row[w];
		if
		:: seen && pass_all -> expected[w] = true
		:: else
		fi
	};
#endif
	/* a statement of its own, with a snapshot of its own */
	if
	:: seen && (pass_all || pass_lost[w]) ->
		seen = there[w];
		if
		:: seen -> resume(w)
		:: else
		fi
	:: else
	fi;
	seen = false
}

proctype worker()
{
	bool inbox[ADDRESSES];
	byte kept = 0, k = 0;
	bool next_lost[ADDRESSES], pass_lost[ADDRESSES];
	bool next_all = false, pass_all = false;
	bool busy, seen = false, resumed = false;

begin:
	/* dwf_news_begin */
	atomic {
		has_worker = true;
		CLEAR(in_ring);
		CLEAR(tagged);
		CLEAR(lost);
		used = 0;
#ifdef WITHOUT_LOSING_AT_BEGIN
		lost_all = false;
		urgent = false
#else
		lost_all = true;
		urgent = true
#endif
	};
	do
	:: true ->
		busy = false;
#ifndef WITHOUT_RESET_FIRST
		latch = false;
#endif
		may_die();

		/* dwf_workers_take_orders, take_news, dwf_inbox_add */
		if
		:: atomic { !is_idle && urgent ->
				busy = true;
				next_all = next_all || lost_all;
				lost_all = false;
#ifndef WITHOUT_NEXT_BATCH
				urgent = false;
#endif
				used = 0;
				do
				:: k < ADDRESSES ->
					next_lost[k] = next_lost[k] || lost[k];
					lost[k] = false;
#ifndef WITHOUT_NEXT_BATCH
					tagged[k] = false;
#endif
					if
					:: in_ring[k] && !expected[k] -> skip
					:: in_ring[k] && expected[k] && kept < INBOX ->
						inbox[k] = true;
						kept++
					:: in_ring[k] && expected[k] && kept >= INBOX ->
#ifndef WITHOUT_LOSING_FROM_INBOX
						next_lost[k] = true
#endif
						skip
					:: else
					fi;
					in_ring[k] = false;
					k++
				:: else -> break
				od;
				k = 0
			}
		:: !(!is_idle && urgent) -> skip
		fi;
		may_die();

		/* dwf_suspended_news */
		if
		:: kept > 0 ->
			busy = true;
			if
			:: inbox[0] ->
				seen = row[0];
				if
				:: seen -> resume(0)
				:: else
				fi
			:: inbox[1] ->
				seen = row[1];
				if
				:: seen -> resume(1)
				:: else
				fi
			:: inbox[2]
			fi;
			atomic { seen = false; kept = 0; CLEAR(inbox) }
		:: else
		fi;

		/* dwf_suspended_lost: each page is a piece */
		if
		:: passes || lost_any ->
			busy = true;
			atomic {
				pass_all = next_all;
				pass_lost[0] = next_lost[0];
				pass_lost[1] = next_lost[1];
				next_all = false;
				CLEAR(next_lost)
			};
			page(0);
			may_die();
			page(1);
#ifdef WITHOUT_NEXT_PASS
			atomic { pass_all = false; CLEAR(pass_lost); lost_all = false;
				CLEAR(lost) }
#else
			atomic { pass_all = false; CLEAR(pass_lost) }
#endif
		:: else
		fi;

#ifdef WITHOUT_RESET_FIRST
		latch = false;
#endif
		if
		:: busy -> skip
		:: else ->
end_sleep:
			latch
		fi
	od;
dead:
	atomic {
		has_worker = false;
		kept = 0; k = 0; seen = false; resumed = false;
		busy = false; next_all = false; pass_all = false;
		CLEAR(inbox);
		CLEAR(next_lost);
		CLEAR(pass_lost)
	};
	goto begin
}

/* ----- all of it ----- */

/* Nothing can happen any more: no workflow waits beside what it waits for */
active proctype monitor()
{
	timeout;
	atomic {
		assert(!(status[0] == waiting && there[0]));
		assert(!(status[1] == waiting && there[1]));
		/* no session waits in the queue of a workflow that is due */
		assert(!(is_client && status[0] == pending && !claimed));
		at_rest = true
	}
}

init
{
	atomic {
		if
		:: /* news that listeners hear of, too */
			listened = true;
			run sender(0);
			run sender(0);
			run taker(0)
		:: /* the ring is full, and the inbox; the other one is suspended */
			status[1] = waiting; row[1] = true; expected[1] = true;
			expected[2] = true;
			run sender(0);
			run sender(1);
			run sender(2)
		:: /* a client's workflow, and a session that waits in its queue */
			is_client = true;
			claimed = true;
			run sender(0);
			run attacher()
		:: /* the worker dies */
			deaths = 1;
			run sender(0)
		:: /* COMMIT PREPARED in another session */
			run other_session(0)
		:: /* a restart: what was suspended before it is not expected */
			status[1] = waiting; row[1] = true;
			run sender(1)
		fi;
		run suspender(0);
		run worker()
	}
}

/* Each run comes to rest: nobody wakes another for nothing for ever */
ltl rests { <> at_rest }
