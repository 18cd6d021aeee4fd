"""The log and its views on PostgreSQL, MySQL and MariaDB, against psycopg2 and pymysql on the same server.

`foldlog bench servers --url URL` runs it, in schemas (databases, on MySQL) of its own that it drops at the end.
What is measured: workloads.py. The raw side: raw_postgres.py, raw_mysql.py, raw_views.py; `--raw-code` prints it.
"""
