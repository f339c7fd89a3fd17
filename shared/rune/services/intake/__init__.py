"""What other services send: each way in with its own intake, and all of them to the submit of the API.

A tenant follows from where something arrived, and never from what it says of itself.
"""
