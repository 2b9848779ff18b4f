"""The process that parses files which might crash, hang or fill the memory of their reader."""
