"""The program runwrap, installed by pip. The module starts it: python -m runwrap -- python train.py"""
