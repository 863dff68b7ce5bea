"""The agent of a GPU node. Nothing in here imports the planner, tables, plots or a database: it stays small."""
