"""What is used of other libraries' private parts, a file for each library."""
