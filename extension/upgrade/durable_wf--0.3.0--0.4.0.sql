\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit
