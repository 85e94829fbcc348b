class InvokeApi:
    def __init__(self, run): pass
