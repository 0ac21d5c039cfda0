"""Private parts of other libraries, a file for each library."""
