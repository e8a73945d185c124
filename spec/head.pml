/*
 * head.pml: the bounds of queues, below which receives do not look.
 *
 * What each part stands for, the claims, and the switches: README.md.
 */
#define IDS			6		/* ids below this; 0 is "none" */
#define CHOSEN		1		/* the id that a writer chooses; others follow */
#define XIDS		8
#define MIN(a, b)	((a) < (b) -> (a) : (b))
#define MAX(a, b)	((a) > (b) -> (a) : (b))

/* transactions */
byte next_xid = 1;
bool in_progress[XIDS];
bool committed[XIDS];

/* the table: who has written, and who has deleted an item */
byte next_id = 2;					/* the sequence */
byte written_by[IDS];
byte deleted_by[IDS];

/* the head of the queue: queue_head.c.  0 is NO_BOUND, and an invalid xid */
bool spinlock;
byte bound;
byte limit;							/* the candidate: L ... */
byte limit_xid;						/* ... and X */

byte oldest;						/* GetOldestActiveTransactionId */

inline find_oldest()
{
	oldest = next_xid;
	for (n : 1 .. XIDS - 1) {
		if
		:: in_progress[n] && n < oldest -> oldest = n
		:: else
		fi
	}
	n = 0
}

/* Get an xid, and be in the proc array: one step for others */
inline assign_xid()
{
	atomic {
		if
		:: xid == 0 ->
			xid = next_xid;
			in_progress[xid] = true;
			next_xid++
		:: else
		fi
	}
}

#define is_there(n) \
	(written_by[n] != 0 && committed[written_by[n]] && \
	 !(deleted_by[n] != 0 && committed[deleted_by[n]]))

/* The bound's promise: no item below it is, or can become, visible */
inline check_bound()
{
	for (n : 1 .. IDS - 1) {
		assert(!(is_there(n) && n < bound))
	}
	n = 0
}

/* The transaction ends: visible at once, or never */
inline end_transaction(commits)
{
	atomic {
		if
		:: xid != 0 ->
			in_progress[xid] = false;
			committed[xid] = commits;
			xid = 0
		:: else
		fi;
		check_bound()
	}
}

/* ----- writers ----- */

/* dwf_queue_head_inserting: the first reads are without the spinlock */
inline inserting(id)
{
#ifdef WITHOUT_LIMIT_BEFORE_BOUND
	saw_bound = bound;
	saw_limit = limit;
#else
	saw_limit = limit;
	saw_bound = bound;
#endif
	if
	:: id > saw_limit && id >= saw_bound -> skip
	:: else ->
		atomic { !spinlock -> spinlock = true };
		atomic {
#ifndef WITHOUT_LOWERING
			bound = MIN(bound, id);
#endif
#ifndef WITHOUT_VOIDING
			if
			:: id <= limit && (limit_xid == 0 || !(xid < limit_xid)) ->
				limit = 0;
				limit_xid = 0
			:: else
			fi;
#endif
			spinlock = false
		}
	fi;
	atomic { saw_limit = 0; saw_bound = 0 }
}

proctype writer(bool chooses)
{
	byte xid = 0, id = 0, saw_limit = 0, saw_bound = 0, n = 0;

	/* I5: the xid before the id */
#if defined(ALSO_ID_BEFORE_XID) || defined(WITHOUT_REPORT_AND_ORDER)
	atomic {
		if
		:: chooses -> id = CHOSEN; assign_xid()
		:: else -> id = next_id; next_id++
		fi
	};
	assign_xid();
#else
#ifdef WITHOUT_XID_BEFORE_REPORT
	if
	:: !chooses -> assign_xid()
	:: else
	fi;
#else
	assign_xid();
#endif
	atomic {
		if
		:: chooses -> id = CHOSEN
		:: else -> id = next_id; next_id++
		fi
	};
#endif

	/* the row trigger: before the row is written */
#ifdef WITHOUT_REPORT_BEFORE_ROW
	written_by[id] = xid;
	end_transaction(true);
	inserting(id);
	check_bound()
#else
#if defined(ALSO_ONLY_CHOSEN_REPORTED) || defined(WITHOUT_REPORT_AND_ORDER)
	if
	:: chooses -> inserting(id)
	:: else
	fi;
#else
	inserting(id);
#endif
#ifdef WITHOUT_XID_BEFORE_REPORT
	assign_xid();
#endif
	written_by[id] = xid;
	end_transaction(true)
#endif
}

/* ----- a receiver ----- */

/* The lowest id from "from" on, in a new snapshot; IDS: none */
inline find_lowest(from)
{
	atomic {
		lowest = IDS;
		for (n : 1 .. IDS - 1) {
			if
#ifdef WITHOUT_COUNTING_HELD
			:: n >= from && n < lowest && is_there(n) &&
				!(deleted_by[n] != 0 && in_progress[deleted_by[n]]) ->
				lowest = n
#else
			:: n >= from && n < lowest && is_there(n) &&
				(deleted_by[n] == 0 || deleted_by[n] != xid) -> lowest = n
#endif
			:: else
			fi
		}
		n = 0
	}
}

/* queue_start: move the bound, if there is a candidate that is ready */
inline move_bound()
{
#ifdef WITHOUT_BOUND_AFTER_READY
	from = bound;
#endif
	atomic {
		can_limit = limit;
		can_xid = limit_xid;
	};
	atomic { find_oldest();
#ifdef WITHOUT_WAITING_FOR_OLDER
		ready = (can_xid != 0);
#else
		ready = (can_xid != 0 && can_xid <= oldest);
#endif
		oldest = 0
	};
	if
	:: ready ->
#ifndef WITHOUT_BOUND_AFTER_READY
		from = bound;
#endif
		find_lowest(from);

		/* dwf_queue_head_advance */
		atomic { !spinlock -> spinlock = true };
		if
#ifdef WITHOUT_SAME_CANDIDATE
		:: true ->
#else
		:: limit == can_limit && limit_xid == can_xid ->
#endif
#ifdef WITHOUT_LIMIT_IN_BOUND
			bound = MAX(bound, lowest);
#else
#ifdef WITHOUT_BOUND_BEFORE_LIMIT
			limit = 0;
			bound = MAX(bound, MIN(lowest, can_limit + 1));
#else
			bound = MAX(bound, MIN(lowest, can_limit + 1));
#endif
#endif
			atomic { limit = 0; limit_xid = 0 }
		:: else
		fi;
		spinlock = false
	:: else
	fi;
	atomic { from = 0; lowest = 0; can_limit = 0; can_xid = 0; ready = false }
}

proctype receiver(byte transactions; byte takes; bool gives_back)
{
	byte times = takes;
	byte xid = 0, id = 0, from = 0, lowest = 0, can_limit = 0, can_xid = 0;
	byte n = 0, saw_xid = 0;
	bool ready = false, published = false;

	do
	:: times > 0 ->
		times--;

		/* a transaction that has written moves no bound */
#ifdef WITHOUT_CLEAN_TRANSACTION
		move_bound();
#else
		if
		:: xid == 0 -> move_bound()
		:: else
		fi;
#endif

		/* take the first that is visible and not locked */
		assign_xid();
		atomic {
			for (n : 1 .. IDS - 1) {
				if
				:: id == 0 && n >= bound && is_there(n) &&
					!(deleted_by[n] != 0 && in_progress[deleted_by[n]]) ->
					deleted_by[n] = xid;
					id = n
				:: else
				fi
			}
			n = 0
		};
		if
		:: id != 0 ->
			/* dwf_queue_head_taken: publish L, then read X, publish X */
#ifdef WITHOUT_LIMIT_BEFORE_XID
			saw_xid = next_xid;
#endif
			atomic {
				!spinlock ->
				if
				:: limit == 0 ->
					limit = id;
					limit_xid = 0;
					published = true
				:: else
				fi
			};
			if
			:: published ->
#ifndef WITHOUT_LIMIT_BEFORE_XID
				saw_xid = next_xid;
#endif
				atomic {
					!spinlock ->
					if
					:: limit == id && limit_xid == 0 -> limit_xid = saw_xid
					:: else
					fi;
					published = false;
					saw_xid = 0
				}
			:: else
			fi;
			id = 0
		:: else
		fi;
	:: else ->
		end_transaction(!gives_back);
		transactions--;
		if
		:: transactions > 0 -> times = takes
		:: else -> break
		fi
	od
}

init
{
	atomic {
		next_id = 4;
		committed[7] = true;
		if
		:: /* a queue that is empty */
			run writer(false);
			run writer(false);
			run receiver(2, 1, false)
		:: /* two items are there */
			written_by[2] = 7; written_by[3] = 7;
			run writer(false);
			run writer(true);
			run receiver(3, 1, false)
		:: written_by[2] = 7; written_by[3] = 7;
			run writer(false);
			run receiver(2, 2, true);
			run receiver(2, 1, false)
		fi
	}
}
