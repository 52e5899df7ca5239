"""What is called, and what it must give: a file for each room."""
