/*
 * handed.pml: news of one thing that a session hands to an executor that
 * idles, instead of the worker; and other work for that executor.
 *
 * What the worker is told, by its ring or by an order, it serves: suspend.pml
 * has that.  What each part stands for, the claims, and the switches:
 * README.md.
 */
#define WORKFLOWS	2		/* workflow w waits for what comes to address w */
#define NOTHING		WORKFLOWS

/* the tables; and the claims in shared memory */
mtype = { running, waiting, pending };
mtype status[WORKFLOWS];
bool there[WORKFLOWS];				/* it has come */
bool claimed;						/* the first one, by who suspends it */

/* waiter.c: an executor that waits for work */
bool registered;
bool signalled;

/* handed.c: the address of the news in the place */
byte handed = NOTHING;

/* what the worker was told: news.c, workers.c */
bool told[WORKFLOWS];
bool run_asked;

bool expires;						/* durable_wf.executor_idle_timeout */
bool at_rest = false;

#define is_due(w)	(status[w] == pending && !(claimed && w == 0))

/* dwf_waiter_wake at the address of work; "woken": an executor was */
inline wake_work()
{
	atomic {
		woken = registered && !signalled;
		signalled = signalled || registered
	}
}

/* dwf_store_search, a claim, and dwf_executors_claim if there is more */
inline claim_due()
{
	atomic {
		if
		:: is_due(0) -> status[0] = running; found = true
		:: !is_due(0) && is_due(1) -> status[1] = running; found = true
		:: !is_due(0) && !is_due(1)
		fi;
		run_asked = run_asked || (found && (is_due(0) || is_due(1)))
	}
}

/* ----- a session that suspends the first workflow: suspend.c ----- */

proctype suspender()
{
	status[0] = waiting;

	/* peek: the last look; dwf_store_unsuspend */
	if
	:: there[0] ->
		atomic {
			if
			:: status[0] == waiting -> status[0] = running; goto done
			:: else
			fi
		}
	:: else
	fi;

	/* dwf_claim_release; then it looks for work, as each executor does */
	claimed = false;
	atomic {
		if
		:: status[0] == pending -> status[0] = running
		:: else
		fi
	};
done:
	claimed = false
}

/* ----- a commit: wakeup.c ----- */

proctype sender(byte k)
{
	bool woken;
	byte owes = NOTHING;

	/* what is expected was read after the commit: suspend.pml */
	there[k] = true;

	/* dwf_expected_work: the hint is of this database, or of another one */
	if
	:: true
	:: true ->
#ifndef WITHOUT_NAMING_DATABASE
		told[k] = true;
#endif
		/* else an executor elsewhere takes the news and finds nobody */
		goto done
	fi;

	/* hand_over: dwf_handed_put, or there is no room */
	if
	:: atomic { handed == NOTHING -> handed = k }
	:: atomic { handed != NOTHING -> told[k] = true; goto done }
	fi;
	wake_work();
	if
	:: woken -> goto done
	:: else
	fi;

	/* dwf_handed_take, dwf_news_tell; dwf_workers_ask_run */
#ifndef WITHOUT_TAKING_BACK
	atomic { owes = handed; handed = NOTHING };
	if
	:: owes != NOTHING -> told[owes] = true
	:: owes == NOTHING ->
#ifndef WITHOUT_ASKING_WHEN_TAKEN
		run_asked = true
#else
		skip
#endif
	fi;
#endif
done:
	skip
}

/* Another session brings work: the second workflow is started, say */
proctype starter()
{
	bool woken;

	status[1] = pending;
	wake_work();
	if
	:: !woken -> run_asked = true
	:: else
	fi
}

/* ----- an executor that idles: executor.c, handover.c ----- */

/*
 * It looks until it has a body, or its time is over, or it fails; then it does
 * not come again
 */
proctype executor()
{
	bool found = false, unused = false;
	byte owes = NOTHING;

	/* dwf_waiter_begin, and the first look */
	registered = true;
look:
	/* look_for_body: bodies are paused, or it fails */
	if
	:: expires -> goto leave
	:: true
	fi;
	/* dwf_handover_find */
	atomic { owes = handed; handed = NOTHING };
	if
	:: expires -> goto leave
	:: true
	fi;
	if
	:: owes != NOTHING ->
		/* claim_body, dwf_store_claim_waiting; what it does not find ... */
		atomic {
			if
			:: status[owes] == waiting && !(claimed && owes == 0) ->
				status[owes] = running;
				owes = NOTHING;
				found = true
			:: else
			fi
		}
	:: else
	fi;
	if
	:: found -> goto leave
	:: else
	fi;
	/* ... it refuses: dwf_handover_refuse */
#ifndef WITHOUT_REFUSING
	if
	:: owes != NOTHING -> told[owes] = true
	:: else
	fi;
#endif
	owes = NOTHING;
#ifndef WITHOUT_SEARCHING_THEN
	claim_due();
#endif
	if
	:: found -> goto leave
	:: else
	fi;

	/* the sleep, and its end: dwf_waiter_take_signal */
	if
	:: atomic { signalled -> signalled = false }; goto look
	:: expires -> skip
	fi;

leave:
	/* dwf_waiter_end; pass_on, when no other executor waits */
	atomic { registered = false; unused = signalled; signalled = false };
	if
	:: unused ->
#ifndef WITHOUT_ASKING_WHEN_UNUSED
		run_asked = true
#else
		skip
#endif
	:: else
	fi;

	/* dwf_handover_end, or handover_exit */
#ifndef WITHOUT_OWING
	if
	:: owes != NOTHING -> told[owes] = true
	:: else
	fi;
#endif
#ifndef WITHOUT_LEAVING_TO_WORKER
	atomic { owes = handed; handed = NOTHING };
	if
	:: owes != NOTHING -> told[owes] = true
	:: else
	fi;
#endif
	/* the worker looks when an executor has ended */
	if
	:: !found -> run_asked = true
	:: else
	fi
}

/* ----- the worker: worker.c, suspended.c, pool.c ----- */

/* list_by_news, dwf_store_resume, dwf_wakeup_note_resumed */
inline serve(w)
{
	told[w] = false;
	atomic {
		if
		:: status[w] == waiting -> status[w] = pending; resumed = true
		:: else
		fi
	};
	if
	:: resumed ->
		wake_work();
		if
		:: !woken -> run_asked = true
		:: else
		fi
	:: else
	fi;
	atomic { resumed = false; woken = false }
}

proctype worker()
{
	bool resumed = false, woken = false, found = false;

	do
	:: told[0] -> serve(0)
	:: told[1] -> serve(1)
	:: run_asked ->
		/* serve_role: wake an executor, or start one, which claims */
		run_asked = false;
		if
		:: is_due(0) || is_due(1) ->
			wake_work();
			if
			:: !woken -> claim_due()
			:: else
			fi
		:: else
		fi;
		atomic { woken = false; found = false }
	od
}

/* ----- all of it ----- */

/* Nothing can happen any more: no workflow waits for what has come, or is due */
active proctype monitor()
{
	timeout;
	atomic {
		assert(!(status[0] == waiting && there[0]));
		assert(!(status[1] == waiting && there[1]));
		assert(!is_due(0) && !is_due(1));
		assert(handed == NOTHING);
		at_rest = true
	}
}

init
{
	atomic {
		if
		:: expires = true
		:: expires = false
		fi;
		status[0] = running;
		claimed = true;
		if
		:: /* both are suspended: two things come */
			status[1] = waiting;
			run sender(0);
			run sender(1)
		:: /* two things for the one */
			status[1] = running;
			run sender(0);
			run sender(0)
		:: /* one thing, and other work */
			status[0] = waiting;
			claimed = false;
			status[1] = running;
			run sender(0);
			run starter()
		fi;
		if
		:: claimed -> run suspender()
		:: else
		fi;
		run executor();
		run worker()
	}
}

/* Each run comes to rest */
ltl rests { <> at_rest }
