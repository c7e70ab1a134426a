DROP TABLE IF EXISTS rollup_minute;
