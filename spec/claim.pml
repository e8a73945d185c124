/*
 * claim.pml: which session executes a workflow, against sessions that wait for
 * work in queues, and what makes work of a workflow while a session has it.
 *
 * What each part stands for, the claims, and the switches, each of which takes
 * out or moves one line: README.md.
 */
#define WAITERS		2
#define HOLDER		2			/* the session that has the claim at first */
#define NOBODY		255

#define QUEUE_A		0
#define QUEUE_B		1

/* the workflow's row, as all see it */
mtype = { executed, ended, due, taken };
mtype status = executed;
byte queue = QUEUE_A;
bool locked = false;			/* by a transaction that makes no work of it */
bool other_work = false;		/* another workflow is due, in queue A */

/* the claim: shared/claims.c */
byte holder = HOLDER;
byte claimed_in = QUEUE_A;		/* the workflow's queue, as it was then */
bool met = false;
bool met_elsewhere = false;

/* the waiters: their queues, and what wait.pml says more of */
byte waits_in[WAITERS];
bool signalled[WAITERS] = false;
bool again[WAITERS] = false;	/* it looks again by the clock */
bool owes[WAITERS] = false;		/* its looks have left the workflow behind */
bool left[WAITERS] = false;		/* it waits no more */
bool rolls_back = false;		/* the first, what it does with what it gets */

/* what the session does that has the claim, and what another one does */
mtype = { leaves, completes, starts_anew, tries_to_start };
mtype = { retries, removes_and_starts, locks };
mtype deed;
mtype other;

/* One waiter of a queue is woken that is not woken yet: dwf_waiter_wake */
inline wake(q)
{
	if
	:: !left[0] && waits_in[0] == (q) && !signalled[0] -> signalled[0] = true
	:: else ->
		if
		:: !left[1] && waits_in[1] == (q) -> signalled[1] = true
		:: else -> skip
		fi
	fi
}

/* All are: dwf_waiter_wake_database */
inline wake_all()
{
	signalled[0] = true;
	signalled[1] = true
}

/* A session that looks in a queue meets the claim: meet() */
inline meet(q)
{
#ifdef WITHOUT_ELSEWHERE
	met = true
#else
	if
	:: claimed_in == (q) -> met = true
	:: else -> met_elsewhere = true
	fi
#endif
}

/* The claim is removed, and then the wakes are made: give_back() */
inline give_back(wakes, wakes_if_met)
{
	atomic {
		was_met = met;
		was_elsewhere = met_elsewhere;
		was_in = claimed_in;
		holder = NOBODY;
		met = false;
		met_elsewhere = false
	}
	atomic {
		if
		:: was_elsewhere -> wake_all()
		:: !was_elsewhere && ((wakes) || ((wakes_if_met) && was_met)) ->
			wake(was_in)
		:: else -> skip
		fi
	}
}

/* A session that waits for work: look_for_work(), attach_free_work() */
proctype waiter(byte r)
{
	bool is_mine, was_met, was_elsewhere;
	byte was_in;

end_asleep:
	do
	:: atomic {
		signalled[r] -> signalled[r] = false
	}
look:
	/* the row, as the search's snapshot shows it */
	if
	:: atomic {
		status == due && queue == waits_in[r] -> skip
	}
		/* claim it, or meet the claim: dwf_claims_append, dwf_claims_skip */
		atomic {
			if
			:: holder == NOBODY ->
				holder = r;
				claimed_in = queue;
				is_mine = true
			:: else ->
				meet(waits_in[r]);
				is_mine = false
			fi
		}
		if
		:: is_mine ->
			/* attach to it, if that is still possible: dwf_attach_pass */
			if
			:: atomic {
				status == due && !locked && !(r == 0 && rolls_back) ->
				status = taken
			}
				break
			:: atomic {
				/* end it, as it has died too often: may_go_on */
				status == due && !locked && r == 0 && rolls_back ->
				locked = true
			}
				give_back(false, false);
				atomic {
					left[r] = true;
					if
					:: signalled[r] -> signalled[r] = false; wake(QUEUE_A)
					:: else -> skip
					fi
				}
				/* and roll that back: dwf_wakeup_note_removal */
				locked = false;
#ifndef WITHOUT_NOTE_OF_END
				atomic {
					wake(queue)
				}
#endif
				break
			:: atomic {
				status == due && locked -> again[r] = true; owes[r] = true
			}
			:: atomic {
				status != due -> skip
			}
			fi;
			give_back(false, false)
		:: else -> skip
		fi
	:: atomic {
		!(status == due && queue == waits_in[r]) -> skip
	}
	fi;
	/* then what is due later; who takes it waits no more */
	if
	:: atomic {
		other_work && waits_in[r] == QUEUE_A ->
		other_work = false;
		left[r] = true;
		/* W4: what it was signalled meanwhile it passes on, or what it owes */
		if
#ifdef WITHOUT_OWING
		:: signalled[r] ->
#else
		:: signalled[r] || owes[r] ->
#endif
			signalled[r] = false; wake(QUEUE_A)
		:: else -> skip
		fi
	}
		break
	:: atomic {
		!(other_work && waits_in[r] == QUEUE_A) ->
		owes[r] = owes[r] && again[r]
	}
	fi
	:: atomic {
		/* the clock, again and again, until the row is free */
		again[r] && !locked -> again[r] = false
	}
		goto look
	od
}

/* The session that has the claim at first */
proctype holds()
{
	bool was_met, was_elsewhere;
	byte was_in;

	if
	:: deed == leaves ->
		/* wf_detach, the session's exit: what it wrote is there before */
#ifdef WITHOUT_CLAIM_LAST
		give_back(true, true);
#endif
		atomic {
			if
			:: status == executed -> status = due
			:: else -> skip
			fi
		}
#ifndef WITHOUT_CLAIM_LAST
#ifdef WITHOUT_WAKE_AT_END
		give_back(false, true)
#else
		give_back(true, true)
#endif
#endif
	:: deed == completes ->
		/* wf_complete: dwf_claim_finish_at_commit */
		atomic {
			met = false;
			met_elsewhere = false
		}
		status = ended;
#ifdef WITHOUT_MET_AT_END
		give_back(false, false)
#else
		give_back(false, true)
#endif
	:: deed == starts_anew ->
		/* it removes the row and writes one of another queue */
		atomic {
			queue = QUEUE_B;
			status = due
		}
		/* the commit's notes: dwf_claim_has_news */
#ifndef WITHOUT_QUEUE_IN_NEWS
		atomic {
			wake(QUEUE_B)
		}
#endif
		give_back(true, true)
	:: deed == tries_to_start ->
		/* wf_start_attached of an id that is there, perhaps elsewhere */
		give_back(false, true)
	fi
}

/* Other work arrives, if it does */
proctype arrives()
{
	atomic {
		if
		:: other_work = true; wake(QUEUE_A)
		:: skip
		fi
	}
}

/* Another session */
proctype another()
{
	if
	:: other == retries ->
		/* wf_retry of what has ended */
		if
		:: atomic {
			status == ended -> status = due
		}
			atomic {
				wake(queue)
			}
		:: atomic {
			status == taken -> skip
		}
		fi
	:: other == removes_and_starts ->
		/* wf_delete of what has ended, and wf_start in some queue */
		if
		:: atomic {
			status == ended -> queue = waits_in[1]; status = due
		}
			atomic {
				wake(queue)
			}
		:: atomic {
			status == taken -> skip
		}
		fi
	:: other == locks ->
		/* it locks the row, and makes no work of it */
		atomic {
			!locked -> locked = true
		}
		locked = false
	fi
}

init
{
	atomic {
		waits_in[0] = QUEUE_A;
		if
		:: rolls_back = true
		:: skip
		fi;
		if
		:: waits_in[1] = QUEUE_A
		:: waits_in[1] = QUEUE_B
		fi;
		if
		:: deed = leaves; other = locks
		:: deed = leaves; other = removes_and_starts; status = ended
		:: deed = completes; other = retries
		:: deed = completes; other = removes_and_starts
		:: deed = starts_anew; other = locks
		:: deed = tries_to_start; other = removes_and_starts; status = ended
		fi;
		run waiter(0);
		run waiter(1);
		run holds();
		run another();
		run arrives()
	}
	/* at rest: no work is left that nobody has, beside one who waits for it */
	timeout;
	assert(status != due || holder != NOBODY ||
		!((waits_in[0] == queue && !left[0]) || (waits_in[1] == queue && !left[1])));
	/* and nobody has a claim of what is work for others */
	assert(holder == NOBODY || status == taken)
}
